/** What opens a session's repository, open and at rest. */

/** What it takes to clone a repository and is shown to nobody. */
export interface GitCredentials {
  /** Of an https URL. */
  readonly username?: string;
  readonly password?: string;
  /** The URL itself, where something in it is a secret, too. */
  readonly url?: string;
}

/** Credentials at rest, sealed. */
export interface SealedCredentials {
  /** The key that it takes: the first bytes of its hash, in hex. */
  readonly keyId: string;
  /** Nonce and ciphertext, in base64. */
  readonly sealed: string;
}

/** Credentials as they are stored: versions before there was encryption stored them open. */
export type StoredCredentials = SealedCredentials | GitCredentials;
