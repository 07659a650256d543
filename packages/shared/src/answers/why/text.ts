/** Counts and names as text for people. Pure. */

/** Returns a number with its noun: `1 call`, `2 calls`, `20,500 tokens`. */
export function counted(count: number, noun: string): string {
  const digits = String(Math.round(count)).replace(/\B(?=(?:\d{3})+$)/g, ",");
  return `${digits} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns a list as text: `a`, `a and b`, `a, b and c`. */
export function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

/** Returns the text with a capital first letter. */
export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
