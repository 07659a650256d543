/**
 * Credentials at rest: AES-256-GCM (NIST SP 800-38D) by WebCrypto, with a random nonce for each sealing and the session's id as
 * associated data, so that a row copied into another session opens nothing.
 */
import { CREDENTIAL_KEY_BYTES } from "../../config.ts";
import type { GitCredentials, SealedCredentials } from "../core/git-credentials.ts";

const NONCE_BYTES = 12;
const KEY_ID_BYTES = 4;

interface Key {
  readonly id: string;
  readonly key: CryptoKey;
}

/** Credentials that none of the keys opens: the key was taken away, or the row is another session's. Quotes neither. */
export class CannotOpenError extends Error {
  override readonly name = "CannotOpenError";
}

export class CredentialKeys {
  readonly #keys: Promise<readonly Key[]>;

  /**
   * @param keys of {@link CREDENTIAL_KEY_BYTES} each, the newest first: that one seals, all open
   * @param fallback a secret that there always is: it stands in where there are no keys, and opens what was sealed before there were
   */
  constructor(keys: readonly Uint8Array<ArrayBuffer>[], fallback: string) {
    this.#keys = importKeys(keys, fallback);
    // Told to whoever uses them.
    this.#keys.catch(() => {});
  }

  async seal(credentials: GitCredentials, sessionId: string): Promise<SealedCredentials> {
    const [{ id, key }] = (await this.#keys) as [Key];
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const plain = new TextEncoder().encode(JSON.stringify(credentials));
    const sealed = await crypto.subtle.encrypt(algorithm(nonce, sessionId), key, plain);
    return { keyId: id, sealed: Buffer.concat([nonce, new Uint8Array(sealed)]).toString("base64") };
  }

  /** @throws CannotOpenError */
  async open({ keyId, sealed }: SealedCredentials, sessionId: string): Promise<GitCredentials> {
    const bytes = new Uint8Array(Buffer.from(sealed, "base64"));
    const [nonce, body] = [bytes.slice(0, NONCE_BYTES), bytes.slice(NONCE_BYTES)];
    for (const { key } of (await this.#keys).filter(({ id }) => id === keyId)) {
      try {
        const plain = await crypto.subtle.decrypt(algorithm(nonce, sessionId), key, body);
        return JSON.parse(new TextDecoder().decode(plain)) as GitCredentials;
      } catch {
        // Another key of the same id, or none.
      }
    }
    throw new CannotOpenError();
  }

  /** Whether it was sealed with the newest key. */
  async isCurrent({ keyId }: SealedCredentials): Promise<boolean> {
    return (await this.#keys)[0]?.id === keyId;
  }
}

function algorithm(iv: Uint8Array<ArrayBuffer>, sessionId: string) {
  return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(sessionId) };
}

async function importKeys(keys: readonly Uint8Array<ArrayBuffer>[], fallback: string): Promise<readonly Key[]> {
  return Promise.all([...keys, await derive(fallback)].map(importKey));
}

async function importKey(bytes: Uint8Array<ArrayBuffer>): Promise<Key> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const key = await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
  return { id: Buffer.from(hash.slice(0, KEY_ID_BYTES)).toString("hex"), key };
}

/** HKDF (RFC 5869): what it gives says nothing of the secret. */
async function derive(secret: string): Promise<Uint8Array<ArrayBuffer>> {
  const encode = (text: string) => new TextEncoder().encode(text);
  const material = await crypto.subtle.importKey("raw", encode(secret), "HKDF", false, ["deriveBits"]);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encode("valet credentials") };
  return new Uint8Array(await crypto.subtle.deriveBits(hkdf, material, CREDENTIAL_KEY_BYTES * 8));
}
