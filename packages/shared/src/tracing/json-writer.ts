/**
 * Writes JSON as UTF-8 bytes and reads each character once. Building a string would read it several times: to escape, to flatten
 * and to encode it. All callers share one buffer, since a new one for each batch costs more than filling it; the result is copied
 * before the next call writes.
 */

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder();

const FIRST_BYTES = 64 * 1024;
/** The largest buffer that is kept for the next call: a request of 512 spans is rarely larger. */
const KEPT_BYTES = 1024 * 1024;
/** Parts longer than this are copied with `set`; for shorter ones that call costs more than a loop. */
const LOOP_LENGTH = 24;

const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

let buffer = new Uint8Array(FIRST_BYTES);
let length = 0;

/** Encodes a piece of JSON that is written many times. */
export function part(json: string): Uint8Array {
  return encoder.encode(json);
}

/** Returns what `work` writes. `work` must not call this function or {@link textOf}. */
export function bytesOf(work: () => void): Uint8Array<ArrayBuffer> {
  return written(work).slice();
}

/** Like {@link bytesOf}, as text. */
export function textOf(work: () => void): string {
  return decoder.decode(written(work));
}

/** Returns a view of the shared buffer, valid until the next call. */
function written(work: () => void): Uint8Array<ArrayBuffer> {
  if (buffer.length > KEPT_BYTES) buffer = new Uint8Array(FIRST_BYTES);
  length = 0;
  work();
  return buffer.subarray(0, length);
}

export function writePart(bytes: Uint8Array): void {
  const count = bytes.length;
  const to = reserve(count);
  const start = length;
  if (count > LOOP_LENGTH) to.set(bytes, start);
  else for (let i = 0; i < count; i++) to[start + i] = bytes[i]!;
  length = start + count;
}

/** Writes ASCII that needs no escape. */
export function writePlain(text: string): void {
  const count = text.length;
  const to = reserve(count);
  const start = length;
  for (let i = 0; i < count; i++) to[start + i] = text.charCodeAt(i);
  length = start + count;
}

/** Writes any text, without its quotation marks. Most texts are ASCII without escapes: the loop tries that first. */
export function writeText(text: string): void {
  const count = text.length;
  const to = reserve(count);
  const start = length;
  for (let i = 0; i < count; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
      // A lone surrogate is replaced: strict decoders reject the whole request because of one.
      writePart(part(JSON.stringify(text.toWellFormed()).slice(1, -1)));
      return;
    }
    to[start + i] = code;
  }
  length = start + count;
}

/** Removes the last comma after items that each end with one. */
export function endItems(): void {
  if (buffer[length - 1] === COMMA) length--;
}

/** Writes a whole number below 2^31 with leading zeros, at most ten digits. */
export function writeDigits(value: number, digits: number): void {
  const to = reserve(digits);
  for (let i = length + digits - 1, left = value; i >= length; i--) {
    const rest = (left / 10) | 0;
    to[i] = 0x30 + left - 10 * rest;
    left = rest;
  }
  length += digits;
}

/** Returns the buffer, grown if needed for `count` more bytes. */
function reserve(count: number): Uint8Array {
  if (length + count > buffer.length) {
    const larger = new Uint8Array(Math.max(length + count, 2 * buffer.length));
    larger.set(buffer);
    buffer = larger;
  }
  return buffer;
}
