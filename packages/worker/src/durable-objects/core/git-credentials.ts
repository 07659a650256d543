/** The credentials of a session's repository, in plain text and sealed. */

/** The secrets that a clone needs. They are never shown. */
export interface GitCredentials {
  /** User and password of an https URL. */
  readonly username?: string;
  readonly password?: string;
  /** The URL itself, if its path contains a secret, too. */
  readonly url?: string;
}

/** Encrypted credentials, as they are stored. */
export interface SealedCredentials {
  /** The id of their key: the first bytes of its hash, in hex. */
  readonly keyId: string;
  /** Nonce and ciphertext, in base64. */
  readonly sealed: string;
}

/** Stored credentials. Versions without encryption stored them in plain text. */
export type StoredCredentials = SealedCredentials | GitCredentials;

/** Returns a session's settings with the credentials in the repository's URL, as somebody who creates a session writes them. */
export function withCredentials<T extends { readonly repoUrl?: string | undefined }>(
  input: T,
  { username, password, url = input.repoUrl }: GitCredentials = {},
): T {
  const parsed = URL.parse(url ?? "");
  if (parsed?.protocol !== "https:") return input;
  if (username !== undefined) parsed.username = encodeURIComponent(username);
  if (password !== undefined) parsed.password = encodeURIComponent(password);
  return { ...input, repoUrl: parsed.href };
}
