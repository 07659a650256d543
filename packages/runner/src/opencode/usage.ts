/** Tokens, providers and models in the GenAI conventions' words. */
import type { Tokens } from "./events.ts";

/**
 * OpenCode counts apart what the conventions count together: cached tokens in its input, reasoning in its output.
 */
export function usageAttributes(tokens: Tokens) {
  const { input, output, reasoning, cache } = tokens;
  return {
    "gen_ai.usage.input_tokens": input + cache.read + cache.write,
    "gen_ai.usage.output_tokens": output + reasoning,
    "gen_ai.usage.cache_read.input_tokens": cache.read,
    "gen_ai.usage.cache_creation.input_tokens": cache.write,
    "gen_ai.usage.reasoning.output_tokens": reasoning,
  } as const;
}

/** OpenCode's (models.dev's) provider ids that have another name in the conventions. */
const PROVIDER_NAMES: ReadonlyMap<string, string> = new Map([
  ["amazon-bedrock", "aws.bedrock"],
  ["azure", "azure.ai.openai"],
  ["azure-cognitive-services", "azure.ai.inference"],
  ["google", "gcp.gemini"],
  ["google-vertex", "gcp.vertex_ai"],
  ["google-vertex-anthropic", "gcp.vertex_ai"],
  ["mistral", "mistral_ai"],
  ["moonshotai", "moonshot_ai"],
  ["xai", "x_ai"],
]);

/** Under both of its keys, the former for tools that read no other. */
export function providerAttributes(providerId: string) {
  const name = PROVIDER_NAMES.get(providerId) ?? providerId;
  return { "gen_ai.provider.name": name, "gen_ai.system": name } as const;
}

/** Takes `provider/model` apart at the first slash: model names have slashes of their own. */
export function splitModel(model: string): { providerID: string; modelID: string } | undefined {
  const slash = model.indexOf("/");
  if (slash < 1 || slash === model.length - 1) return undefined;
  return { providerID: model.slice(0, slash), modelID: model.slice(slash + 1) };
}
