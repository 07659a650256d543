/**
 * Integers as the base64 VLQ of source maps (ECMA-426, section 5): 5 bits a digit, the least significant first, and the sign in the
 * lowest bit. Numbers up to 2^52, since JavaScript's bitwise operators stop at 2^31. Pure.
 */

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUES = new Map(Array.from(DIGITS, (digit, value) => [digit, value]));
const CONTINUES = 32;

/** @param values safe integers of at most 2^52 in size */
export function encodeVlq(values: readonly number[]): string {
  let text = "";
  for (const value of values) {
    let rest = Math.abs(value) * 2 + (value < 0 ? 1 : 0);
    do {
      const digit = rest % CONTINUES;
      rest = Math.floor(rest / CONTINUES);
      text += DIGITS[rest > 0 ? digit + CONTINUES : digit];
    } while (rest > 0);
  }
  return text;
}

/** @throws SyntaxError for a text that {@link encodeVlq} cannot return */
export function decodeVlq(text: string): number[] {
  const values: number[] = [];
  let [sum, scale] = [0, 1];
  for (const each of text) {
    const digit = VALUES.get(each);
    if (digit === undefined) throw new SyntaxError(`"${each}" is no digit of a VLQ`);
    sum += (digit % CONTINUES) * scale;
    if (digit >= CONTINUES) {
      scale *= CONTINUES;
      continue;
    }
    const size = Math.floor(sum / 2);
    values.push(sum % 2 === 1 && size > 0 ? -size : size);
    [sum, scale] = [0, 1];
  }
  if (scale > 1) throw new SyntaxError("a VLQ ends within a number");
  return values;
}
