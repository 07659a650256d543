/** Makes the ids of new traces and spans: lower-case hex, 32 and 16 digits, never all zero. */
export interface IdGenerator {
  traceId(): string;
  spanId(): string;
}

/** Bytes drawn at a time, enough for 256 span ids: the fixed cost of a draw is spread, and an id that is kept holds on to 4 KB. */
const POOL_BYTES = 2048;

type FillRandom = (bytes: Uint8Array<ArrayBuffer>) => void;

/**
 * Random ids from the platform's cryptographic generator, so that the W3C `random` flag may be set
 * (Trace Context Level 2, section 3.2.2.5.2). Ids are cut from a pool of hex, drawn when first needed: a Worker's global
 * scope has no randomness.
 * @param fill fills the array with random bytes; the platform's generator unless a test gives another
 */
export function createRandomIds(fill: FillRandom = (bytes) => crypto.getRandomValues(bytes)): IdGenerator {
  const draw = hexSource(fill);
  let pool = "";
  let next = 0;
  const take = (digits: number): string => {
    for (;;) {
      if (next + digits > pool.length) {
        pool = draw();
        next = 0;
      }
      const id = pool.substring(next, next + digits);
      next += digits;
      if (!isAllZero(id)) return id;
    }
  };
  return { traceId: () => take(32), spanId: () => take(16) };
}

/** Draws {@link POOL_BYTES} as hex: two digits at a time from a table, decoded as text at once. */
function hexSource(fill: FillRandom): () => string {
  const pairs = new Uint16Array(256);
  const digits = new Uint8Array(pairs.buffer);
  for (let byte = 0; byte < 256; byte++) {
    const pair = byte.toString(16).padStart(2, "0");
    digits[2 * byte] = pair.charCodeAt(0);
    digits[2 * byte + 1] = pair.charCodeAt(1);
  }
  const decoder = new TextDecoder();
  return () => {
    const bytes = new Uint8Array(POOL_BYTES);
    fill(bytes);
    const hex = new Uint16Array(POOL_BYTES);
    for (let i = 0; i < POOL_BYTES; i++) hex[i] = pairs[bytes[i] as number] as number;
    return decoder.decode(hex);
  };
}

function isAllZero(id: string): boolean {
  // An id that begins with a digit other than 0 needs no second look: 15 of 16.
  return id.charCodeAt(0) === 48 && /^0+$/.test(id);
}

/** A trace id as W3C Trace Context demands: 32 lower-case hex digits, not all zero. */
export function isValidTraceId(id: string): boolean {
  return /^[0-9a-f]{32}$/.test(id) && !isAllZero(id);
}

/** A span id (`parent-id`): 16 lower-case hex digits, not all zero. */
export function isValidSpanId(id: string): boolean {
  return /^[0-9a-f]{16}$/.test(id) && !isAllZero(id);
}
