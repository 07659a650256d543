/** Models: their names, and how a runner reaches them. */
import { z } from "zod";

/** A model as `provider/model`, or as its name alone ({@link withProvider}). */
export const ModelRef = z.string().min(1).max(200);

/** The id of the provider of the deployment's own, OpenAI-compatible endpoint. */
export const OWN_PROVIDER = "valet";

/** Returns a model as `provider/model`. A name without a provider belongs to the deployment's own endpoint. */
export function withProvider(model: string): string {
  return model.includes("/") ? model : `${OWN_PROVIDER}/${model}`;
}

/** Returns the model that is tried first, as `provider/model`. @param otherwise the deployment's model */
export function firstModel(
  { model, models }: { readonly model?: string | undefined; readonly models: readonly string[] },
  otherwise: string,
): string {
  return withProvider(model ?? models[0] ?? otherwise);
}

/** The providers that OpenCode knows and Valet may have keys for, each with the environment variable of its key. */
export const PROVIDERS = [
  { provider: "anthropic", key: "ANTHROPIC_API_KEY" },
  { provider: "openai", key: "OPENAI_API_KEY" },
  { provider: "google", key: "GEMINI_API_KEY" },
  { provider: "google", key: "GOOGLE_GENERATIVE_AI_API_KEY" },
  { provider: "groq", key: "GROQ_API_KEY" },
  { provider: "mistral", key: "MISTRAL_API_KEY" },
  { provider: "openrouter", key: "OPENROUTER_API_KEY" },
  { provider: "xai", key: "XAI_API_KEY" },
  { provider: "deepseek", key: "DEEPSEEK_API_KEY" },
] as const;

/** The environment variables from which OpenCode reads the keys of the providers that it knows. */
export const PROVIDER_KEYS = PROVIDERS.map(({ key }) => key);

/** Prices in USD for a million tokens. */
export const ModelPrices = z.object({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  cacheRead: z.number().nonnegative().optional(),
  cacheWrite: z.number().nonnegative().optional(),
});
export type ModelPrices = z.infer<typeof ModelPrices>;

/** Access to models: the providers for `OPENCODE_CONFIG_CONTENT`, and the keys that it refers to by variable. */
export const ModelAccess = z.object({
  /** The model to use if neither message nor session names one, as `provider/model`. */
  model: ModelRef,
  /** An OpenAI-compatible endpoint; its provider is {@link OWN_PROVIDER}. */
  openAiCompatible: z
    .object({
      baseUrl: z.url(),
      apiKey: z.string().optional(),
      /** Its models besides `model`; OpenCode refuses models that it did not know when it started. */
      models: z.array(ModelRef).max(50).optional(),
      /** The prices of its models; without them the cost of a call is unknown. */
      prices: ModelPrices.optional(),
    })
    .optional(),
  /** Keys of providers that OpenCode knows, by environment variable. */
  providerKeys: z.record(z.string(), z.string()).default({}),
});
export type ModelAccess = z.infer<typeof ModelAccess>;
