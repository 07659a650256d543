import type { ModelAccess } from "@valet/shared/protocol/model-access";

/** Returns the keys of models, and the password in the endpoint's URL if it has one. */
export function keysOf({ providerKeys, openAiCompatible }: ModelAccess): (string | undefined)[] {
  const password = URL.parse(openAiCompatible?.baseUrl ?? "")?.password;
  return [...Object.values(providerKeys), openAiCompatible?.apiKey, password && decodeURIComponent(password)];
}
