const MAX_REMEMBERED = 2048;
const MAX_LENGTH = 64;

/** `make`, remembering what it made of short texts: in spans most come again. */
export function remember<T>(make: (text: string) => T): (text: string) => T {
  const made = new Map<string, T>();
  return (text) => {
    let value = made.get(text);
    if (value === undefined) {
      value = make(text);
      if (made.size === MAX_REMEMBERED) made.clear();
      if (text.length <= MAX_LENGTH) made.set(text, value);
    }
    return value;
  };
}
