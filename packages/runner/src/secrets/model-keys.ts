import type { ModelAccess } from "@valet/shared/protocol/runner-link";

/** The keys of models, and the password of an endpoint whose address has one. */
export function keysOf({ providerKeys, openAiCompatible }: ModelAccess): (string | undefined)[] {
  const password = URL.parse(openAiCompatible?.baseUrl ?? "")?.password;
  return [...Object.values(providerKeys), openAiCompatible?.apiKey, password && decodeURIComponent(password)];
}
