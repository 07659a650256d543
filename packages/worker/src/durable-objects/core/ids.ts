import { createHash, timingSafeEqual } from "node:crypto";

/** 32 letters and digits that are hard to confuse: five bits each. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_LENGTH = 26;

/** Returns a new id: the prefix, `_`, and 130 random bits. */
export function newId(prefix: "ses" | "msg" | "wfl" | "att" | "op" | "con" | "wh" | "evt"): string {
  return `${prefix}_${randomText(RANDOM_LENGTH)}`;
}

/** Returns a new secret of 260 random bits. */
export function newToken(): string {
  return `vlt_${randomText(2 * RANDOM_LENGTH)}`;
}

/** Returns the hash of a secret, which is stored in its place. The secret is random, so a plain SHA-256 does not reveal it. */
export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** Returns whether a token has this hash. Takes constant time. */
export function isTokenOf(token: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashToken(token), "hex"), Buffer.from(hash, "hex"));
}

function randomText(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  return Array.from(bytes, (byte) => ALPHABET[byte & 31]).join("");
}
