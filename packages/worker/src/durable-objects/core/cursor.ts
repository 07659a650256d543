/** Cursors of lists: where a page ended, in a form that nobody is tempted to build by hand. Pure. */
import { refuse } from "./result.ts";

export function encodeCursor(parts: readonly string[]): string {
  return btoa(JSON.stringify(parts)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Returns the parts of a cursor that {@link encodeCursor} wrote of that many; `undefined` for anything else. */
export function parseCursor(cursor: string, length: number): readonly string[] | undefined {
  try {
    const parts: unknown = JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")));
    const isOurs = Array.isArray(parts) && parts.length === length && parts.every((part) => typeof part === "string");
    return isOurs ? parts : undefined;
  } catch {
    return undefined;
  }
}

/** The refusal of a cursor that is not one of the list's. */
export function badCursor() {
  return refuse("invalid-cursor", "Take the cursor from the page before, as it stands.");
}
