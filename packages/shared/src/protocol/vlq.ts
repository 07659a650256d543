/**
 * Integers as the base64 VLQ of source maps (ECMA-426, section 5): 5 bits a digit, the least significant first, and the sign in the
 * lowest bit. Without bitwise operators, which in JavaScript stop at 2^31. Pure.
 */

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** The value of each digit by its code; {@link NO_DIGIT} for others. */
const NO_DIGIT = 64;
const VALUES = new Uint8Array(128).fill(NO_DIGIT);
for (let value = 0; value < DIGITS.length; value++) VALUES[DIGITS.charCodeAt(value)] = value;
const CONTINUES = 32;
/** The first digit has the sign, too, and so one bit less of the number. */
const FIRST = 16;

/** @param values safe integers */
export function encodeVlq(values: readonly number[]): string {
  let text = "";
  for (const value of values) {
    const size = Math.abs(value);
    let digit = (size % FIRST) * 2 + (value < 0 ? 1 : 0);
    let rest = Math.floor(size / FIRST);
    while (rest > 0) {
      text += DIGITS[digit + CONTINUES];
      digit = rest % CONTINUES;
      rest = Math.floor(rest / CONTINUES);
    }
    text += DIGITS[digit];
  }
  return text;
}

/** @throws SyntaxError for a text that {@link encodeVlq} cannot return */
export function decodeVlq(text: string): number[] {
  const values: number[] = [];
  let size = 0;
  let scale = 1;
  let isNegative = false;
  // By index and code: a trace of 50,000 spans has a million digits, and a page waits for them.
  for (let at = 0; at < text.length; at++) {
    const digit = VALUES[text.charCodeAt(at)] ?? NO_DIGIT;
    if (digit === NO_DIGIT) throw new SyntaxError(`"${text[at]}" is no digit of a VLQ`);
    const bits = digit % CONTINUES;
    const isFirst = scale === 1;
    if (isFirst) isNegative = bits % 2 === 1;
    size += isFirst ? Math.floor(bits / 2) : bits * scale;
    if (digit >= CONTINUES) {
      scale *= isFirst ? FIRST : CONTINUES;
      continue;
    }
    values.push(isNegative && size > 0 ? -size : size);
    size = 0;
    scale = 1;
  }
  if (scale > 1) throw new SyntaxError("a VLQ ends within a number");
  return values;
}
