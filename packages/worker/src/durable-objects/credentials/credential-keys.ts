/**
 * Secrets at rest: AES-256-GCM (NIST SP 800-38D) by WebCrypto, with a random nonce for each sealing and the id of their owner as
 * associated data, so that a row copied to another owner opens nothing. The owner is a session, or an endpoint of webhooks.
 */
import { CREDENTIAL_KEY_BYTES } from "../../config.ts";
import type { GitCredentials, SealedCredentials } from "../core/git-credentials.ts";

const NONCE_BYTES = 12;
const KEY_ID_BYTES = 4;

interface Key {
  readonly id: string;
  readonly key: CryptoKey;
}

/** None of the keys opens the credentials: their key was removed, or the row belongs to another owner. Quotes neither. */
export class CannotOpenError extends Error {
  override readonly name = "CannotOpenError";
}

export class CredentialKeys<T = GitCredentials> {
  readonly #keys: Promise<readonly Key[]>;

  /**
   * @param keys keys of {@link CREDENTIAL_KEY_BYTES} each, newest first: the newest seals, all of them open
   * @param fallback a secret that always exists: it seals if there are no keys, and opens what was sealed before there were any
   */
  constructor(keys: readonly Uint8Array<ArrayBuffer>[], fallback: string) {
    this.#keys = importKeys(keys, fallback);
    // `seal` and `open` reject with this error; here it must not count as unhandled.
    this.#keys.catch(() => {});
  }

  async seal(credentials: T, ownerId: string): Promise<SealedCredentials> {
    const [{ id, key }] = (await this.#keys) as [Key];
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const plain = new TextEncoder().encode(JSON.stringify(credentials));
    const sealed = await crypto.subtle.encrypt(algorithm(nonce, ownerId), key, plain);
    return { keyId: id, sealed: Buffer.concat([nonce, new Uint8Array(sealed)]).toString("base64") };
  }

  /** @throws CannotOpenError */
  async open({ keyId, sealed }: SealedCredentials, ownerId: string): Promise<T> {
    const bytes = new Uint8Array(Buffer.from(sealed, "base64"));
    const [nonce, body] = [bytes.slice(0, NONCE_BYTES), bytes.slice(NONCE_BYTES)];
    for (const { key } of (await this.#keys).filter(({ id }) => id === keyId)) {
      try {
        const plain = await crypto.subtle.decrypt(algorithm(nonce, ownerId), key, body);
        return JSON.parse(new TextDecoder().decode(plain)) as T;
      } catch {
        // The next key may have the same id.
      }
    }
    throw new CannotOpenError();
  }

  /** Returns whether the credentials were sealed with the newest key. */
  async isCurrent({ keyId }: SealedCredentials): Promise<boolean> {
    return (await this.#keys)[0]?.id === keyId;
  }
}

function algorithm(iv: Uint8Array<ArrayBuffer>, ownerId: string) {
  return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(ownerId) };
}

async function importKeys(keys: readonly Uint8Array<ArrayBuffer>[], fallback: string): Promise<readonly Key[]> {
  return Promise.all([...keys, await derive(fallback)].map(importKey));
}

async function importKey(bytes: Uint8Array<ArrayBuffer>): Promise<Key> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const key = await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
  return { id: Buffer.from(hash.slice(0, KEY_ID_BYTES)).toString("hex"), key };
}

/** Derives a key with HKDF (RFC 5869): the key reveals nothing about the secret. */
async function derive(secret: string): Promise<Uint8Array<ArrayBuffer>> {
  const encode = (text: string) => new TextEncoder().encode(text);
  const material = await crypto.subtle.importKey("raw", encode(secret), "HKDF", false, ["deriveBits"]);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: encode("valet credentials") };
  return new Uint8Array(await crypto.subtle.deriveBits(hkdf, material, CREDENTIAL_KEY_BYTES * 8));
}
