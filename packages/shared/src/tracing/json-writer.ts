/**
 * JSON written as UTF-8 bytes, each character looked at once, rather than text that is built, gone through for what needs an
 * escape, made flat and encoded. There is one buffer for all: a new one a batch costs more than filling it, and what is
 * written is copied out before anybody else writes.
 */

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder();

const FIRST_BYTES = 64 * 1024;
/** Of the buffer, kept from one use to the next: a request of 512 spans is seldom larger. */
const KEPT_BYTES = 1024 * 1024;
/** Parts longer than this are copied by the platform; for shorter ones the call costs more than a loop. */
const LOOP_LENGTH = 24;

const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

let buffer = new Uint8Array(FIRST_BYTES);
let length = 0;

/** A part of JSON that is written over and over. */
export function part(json: string): Uint8Array {
  return encoder.encode(json);
}

/** What `work` writes. It must not ask for another writing meanwhile. */
export function bytesOf(work: () => void): Uint8Array<ArrayBuffer> {
  return written(work).slice();
}

/** The same, as text. */
export function textOf(work: () => void): string {
  return decoder.decode(written(work));
}

/** Good until the next call. */
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

/** ASCII that stands in the JSON as it is. */
export function writePlain(text: string): void {
  const count = text.length;
  const to = reserve(count);
  const start = length;
  for (let i = 0; i < count; i++) to[start + i] = text.charCodeAt(i);
  length = start + count;
}

/** Any text, within quotation marks that are written elsewhere. Most is ASCII and needs no escape, which shows on the way. */
export function writeText(text: string): void {
  const count = text.length;
  const to = reserve(count);
  const start = length;
  for (let i = 0; i < count; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH) {
      // A lone surrogate is no text: strict decoders refuse the whole request for one.
      writePart(part(JSON.stringify(text.toWellFormed()).slice(1, -1)));
      return;
    }
    to[start + i] = code;
  }
  length = start + count;
}

/** After items that each end with a comma, the last one's goes. */
export function endItems(): void {
  if (buffer[length - 1] === COMMA) length--;
}

/** A whole number in so many digits, zeros before it. It may have ten and be below 2^31. */
export function writeDigits(value: number, digits: number): void {
  const to = reserve(digits);
  for (let i = length + digits - 1, left = value; i >= length; i--) {
    const rest = (left / 10) | 0;
    to[i] = 0x30 + left - 10 * rest;
    left = rest;
  }
  length += digits;
}

/** The buffer, with room for as many bytes more. */
function reserve(count: number): Uint8Array {
  if (length + count > buffer.length) {
    const larger = new Uint8Array(Math.max(length + count, 2 * buffer.length));
    larger.set(buffer);
    buffer = larger;
  }
  return buffer;
}
