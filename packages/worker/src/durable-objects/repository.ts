/** A repository's URL, and what opens it. */

export interface Repository {
  readonly repoUrl: string;
  readonly credentials?: { readonly username: string; readonly password: string };
}

/**
 * Takes user and password out of an https URL, so that everything that shows or records the URL does without them. Other URLs
 * stay as they are: the user of an ssh URL is part of the address.
 */
export function splitCredentials(repoUrl: string): Repository {
  const url = URL.parse(repoUrl);
  if (url === null || url.protocol !== "https:" || (url.username === "" && url.password === "")) return { repoUrl };
  const credentials = { username: decode(url.username), password: decode(url.password) };
  url.username = "";
  url.password = "";
  return { repoUrl: url.href, credentials };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
