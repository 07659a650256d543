/** Asks the provider of the deployment's model whether it answers, takes the key, and has the model. It never runs the model, which may cost. */
import { type ModelAccess, OWN_PROVIDER, PROVIDERS, withProvider } from "@valet/shared/protocol/model-access";
import type { SystemView } from "@valet/shared/protocol/system";
import { idsOf } from "../../preflight/model-list.ts";

type ModelCheck = SystemView["model"];

/** How long the provider may take, in ms. */
const LIMIT_MS = 5000;

/** A request that a provider answers for nothing. */
interface Question {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What is asked about: the model, a list of models, or only the key. */
  readonly about: "model" | "list" | "key";
}

type Ask = (model: string, key: string) => Question;

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const openAi =
  (base: string): Ask =>
  (model, key) => ({ url: `${base}/models/${pathOf(model)}`, headers: bearer(key), about: "model" });

/** The providers' own documentation of these requests says that they are free. */
const ASKS: { readonly [provider in (typeof PROVIDERS)[number]["provider"]]: Ask } = {
  anthropic: (model, key) => ({
    url: `https://api.anthropic.com/v1/models/${pathOf(model)}`,
    headers: { "x-api-key": key, "anthropic-version": "2023-06-01" },
    about: "model",
  }),
  openai: openAi("https://api.openai.com/v1"),
  google: (model, key) => ({
    url: `https://generativelanguage.googleapis.com/v1beta/models/${pathOf(model)}`,
    headers: { "x-goog-api-key": key },
    about: "model",
  }),
  groq: openAi("https://api.groq.com/openai/v1"),
  mistral: openAi("https://api.mistral.ai/v1"),
  // Its list of models is public, so it would not show whether the key is good.
  openrouter: (_model, key) => ({ url: "https://openrouter.ai/api/v1/key", headers: bearer(key), about: "key" }),
  xai: openAi("https://api.x.ai/v1"),
  deepseek: (_model, key) => ({ url: "https://api.deepseek.com/models", headers: bearer(key), about: "list" }),
};

/** Never rejects. */
export async function checkProvider(access: ModelAccess, send: typeof fetch = fetch): Promise<ModelCheck> {
  const model = withProvider(access.model);
  const question = questionOf(model, access);
  if (question === undefined) return { model, host: null, state: "unchecked", status: null };
  const { host } = new URL(question.url);
  const id = model.slice(model.indexOf("/") + 1);
  try {
    return { model, host, ...(await ask(question, id, send)) };
  } catch {
    return { model, host, state: "unreachable", status: null };
  }
}

function questionOf(model: string, { openAiCompatible, providerKeys }: ModelAccess): Question | undefined {
  const [provider, ...id] = model.split("/");
  if (provider === OWN_PROVIDER && openAiCompatible !== undefined) {
    const { baseUrl, apiKey } = openAiCompatible;
    const headers = apiKey === undefined ? {} : bearer(apiKey);
    return { url: `${baseUrl.replace(/\/$/, "")}/models`, headers, about: "list" };
  }
  const known = PROVIDERS.find((each) => each.provider === provider && each.key in providerKeys);
  const key = known === undefined ? undefined : providerKeys[known.key];
  return known === undefined || key === undefined ? undefined : ASKS[known.provider](id.join("/"), key);
}

async function ask(
  { url, headers, about }: Question,
  id: string,
  send: typeof fetch,
): Promise<Pick<ModelCheck, "state" | "status">> {
  const get = (from: string) =>
    // A redirect is not followed, since the key is for this host alone.
    send(from, { headers, redirect: "manual", signal: AbortSignal.timeout(LIMIT_MS) });
  const response = await get(url);
  const { status } = response;
  if (!response.ok) {
    await response.body?.cancel();
    if (status === 401 || status === 403) return { state: "key_refused", status };
    if (status === 404) return { state: about === "model" ? "model_unknown" : "model_unconfirmed", status };
    return { state: status >= 500 || status === 429 ? "failing" : "model_unconfirmed", status };
  }
  if (about !== "list") {
    await response.body?.cancel();
    return { state: about === "model" ? "ok" : "model_unconfirmed", status };
  }
  const ids = idsOf(await response.json().catch(() => undefined));
  if (ids === undefined) return { state: "model_unconfirmed", status };
  if (ids.includes(id)) return { state: "ok", status };
  // Some endpoints have more models than they list.
  const one = await get(`${url}/${pathOf(id)}`);
  await one.body?.cancel();
  return { state: one.ok ? "ok" : one.status === 404 ? "model_unknown" : "model_unconfirmed", status };
}

const pathOf = (model: string) => model.split("/").map(encodeURIComponent).join("/");
