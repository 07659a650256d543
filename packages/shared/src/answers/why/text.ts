/** Durations, counts and names as text for people. Pure. */

/** Returns a duration as text: `340 ms`, `41.2 s`, `3 min 20 s`, `12 min`, `2 h 5 min`. @param ms not negative */
export function durationText(ms: number): string {
  if (ms === 0) return "0 s";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 10) return units(Math.round(ms / 1000), "min", "s");
  return minutes < 60 ? `${minutes} min` : units(minutes, "h", "min");
}

function units(count: number, large: string, small: string): string {
  const rest = count % 60;
  return `${Math.floor(count / 60)} ${large}${rest === 0 ? "" : ` ${rest} ${small}`}`;
}

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
