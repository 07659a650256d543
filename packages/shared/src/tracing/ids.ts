/** Generates the ids of new traces and spans: lower-case hex, 32 and 16 digits, never all zero. */
export interface IdGenerator {
  traceId(): string;
  spanId(): string;
}

/** Random bytes generated at a time, enough for 256 span ids. This spreads the fixed cost; an id that is kept retains 4 KB. */
const POOL_BYTES = 2048;
/** The invalid id; every valid one compares greater. */
export const ZEROS = "0".repeat(32);

type FillRandom = (bytes: Uint8Array<ArrayBuffer>) => void;

/**
 * Creates a generator of random ids. It uses the platform's cryptographic generator, so that the W3C `random` flag may be set
 * (Trace Context Level 2, section 3.2.2.5.2). Ids are cut from a pool of hex digits, which is filled when first needed, since a
 * Worker's global scope has no randomness.
 * @param fill fills the array with random bytes; the platform's generator by default
 */
export function createRandomIds(fill: FillRandom = (bytes) => crypto.getRandomValues(bytes)): IdGenerator {
  // The two digits of every byte in memory order, so that the whole pool is decoded as text at once.
  const digit = (value: number) => value.toString(16).charCodeAt(0);
  const pairs = Uint16Array.from({ length: 256 }, (_, byte) => digit(byte >> 4) | (digit(byte & 15) << 8));
  const bytes = new Uint8Array(POOL_BYTES);
  const hex = new Uint16Array(POOL_BYTES);
  const decoder = new TextDecoder();
  let pool = "";
  let next = 0;
  const take = (digits: number): string => {
    if (next + digits > pool.length) {
      fill(bytes);
      for (let i = 0; i < POOL_BYTES; i++) hex[i] = pairs[bytes[i]!]!;
      pool = decoder.decode(hex);
      next = 0;
    }
    const id = pool.slice(next, next + digits);
    next += digits;
    return id > ZEROS ? id : take(digits);
  };
  return { traceId: () => take(32), spanId: () => take(16) };
}

/** Returns whether an id is a valid trace id (W3C Trace Context): 32 lower-case hex digits, not all zero. */
export function isValidTraceId(id: unknown): id is string {
  return isHex(id, 32);
}

/** Returns whether an id is a valid span id (`parent-id`): 16 lower-case hex digits, not all zero. */
export function isValidSpanId(id: unknown): id is string {
  return isHex(id, 16);
}

function isHex(id: unknown, digits: number): id is string {
  return typeof id === "string" && id.length === digits && /^(?!0*$)[0-9a-f]*$/.test(id);
}
