/** Random ids that a sender chooses, so that a request that is repeated does its work once. */

const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz";
const LENGTH = 26;

/** Returns an id: a prefix and 26 random lower-case letters and digits. */
export function randomId(prefix: string): string {
  let id = "";
  // A byte above the last multiple of 36 would make some letters more likely.
  const limit = 256 - (256 % LETTERS.length);
  while (id.length < LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(LENGTH))) {
      if (byte < limit && id.length < LENGTH) id += LETTERS[byte % LETTERS.length];
    }
  }
  return `${prefix}${id}`;
}
