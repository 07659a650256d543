/** Refuses a model that cannot work here, before a session and its sandbox exist for it. */
import { type ModelAccess, OWN_PROVIDER, PROVIDERS, withProvider } from "@valet/shared/protocol/model-access";
import type { CreateSession } from "@valet/shared/protocol/session-api";
import { idsOf } from "./model-list.ts";

/** What is wrong with a field of the request. */
export interface Refusal {
  readonly path: string;
  readonly message: string;
}

/** The endpoint's answers are waited for this long, in ms. Without them the model is taken: the first turn shows it. */
const ENDPOINT_LIMIT_MS = 2000;
/** How many of the endpoint's models a refusal names. */
const MAX_NAMED = 10;

/**
 * Returns why the session's models cannot work: nothing here opens their provider, or the deployment's own endpoint does not have
 * them. A session that uses its repository's configuration may name any provider, since that may define it.
 */
export async function refuseModels(
  { model, models = [], trustRepositoryConfig = false }: CreateSession,
  access: ModelAccess,
): Promise<Refusal | undefined> {
  const named = [...(model === undefined ? [] : [["model", model]]), ...models.map((each, i) => [`models.${i}`, each])];
  const own: [path: string, id: string][] = [];
  for (const [path = "", ref = ""] of named) {
    if (withProvider(ref) === withProvider(access.model)) continue;
    const [provider = "", ...id] = withProvider(ref).split("/");
    if (provider === OWN_PROVIDER && access.openAiCompatible !== undefined) own.push([path, id.join("/")]);
    else if (!trustRepositoryConfig && !usableProviders(access).has(provider)) {
      return { path, message: withoutKey(provider, access) };
    }
  }
  if (own.length === 0 || access.openAiCompatible === undefined) return undefined;
  return refuseUnlisted(own, withProvider(access.model), access.openAiCompatible);
}

function usableProviders({ model, openAiCompatible, providerKeys }: ModelAccess): ReadonlySet<string> {
  const [ofDefault = ""] = withProvider(model).split("/");
  const byKey = PROVIDERS.filter(({ key }) => key in providerKeys).map(({ provider }) => provider);
  return new Set([ofDefault, ...byKey, ...(openAiCompatible === undefined ? [] : [OWN_PROVIDER])]);
}

function withoutKey(provider: string, access: ModelAccess): string {
  const keys = PROVIDERS.filter((each) => each.provider === provider).map(({ key }) => key);
  const remedy = keys.length > 0 ? ` Set ${keys.join(" or ")} where Valet runs.` : "";
  const usable = [...usableProviders(access)].join(", ");
  return `no key of this model's provider is set; the providers of this deployment are ${usable}.${remedy}`;
}

/** Asks the endpoint for its list, and then for the models that this lacks: some endpoints have more than they list. */
async function refuseUnlisted(
  wanted: readonly [path: string, id: string][],
  ofDeployment: string,
  { baseUrl, apiKey }: NonNullable<ModelAccess["openAiCompatible"]>,
): Promise<Refusal | undefined> {
  const url = `${baseUrl.replace(/\/$/, "")}/models`;
  const init = {
    headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
    // A redirect is not followed, since the key is for the endpoint alone.
    redirect: "manual" as const,
    signal: AbortSignal.timeout(ENDPOINT_LIMIT_MS),
  };
  try {
    const ids = idsOf(await (await fetch(url, init)).json());
    for (const [path, id] of wanted) {
      if (ids === undefined || ids.includes(id)) continue;
      const response = await fetch(`${url}/${id.split("/").map(encodeURIComponent).join("/")}`, init);
      await response.body?.cancel();
      if (response.status !== 404) continue;
      const all = [...new Set([ofDeployment, ...ids.map((each) => `${OWN_PROVIDER}/${each}`)])];
      const named = all.length > MAX_NAMED ? [...all.slice(0, MAX_NAMED), "…"] : all;
      return { path, message: `the model endpoint does not have this model. Use one of ${named.join(", ")}` };
    }
  } catch {
    // The endpoint is away, slow or not of this kind.
  }
  return undefined;
}
