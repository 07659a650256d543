/** Cursors of lists. They encode where a page ended, and are opaque to clients. Pure. */
import { refuse } from "./result.ts";

export function encodeCursor(parts: readonly string[]): string {
  return btoa(JSON.stringify(parts)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Returns the parts of a cursor of {@link encodeCursor} with this many parts; `undefined` for anything else. */
export function parseCursor(cursor: string, length: number): readonly string[] | undefined {
  try {
    const parts: unknown = JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")));
    const isOurs = Array.isArray(parts) && parts.length === length && parts.every((part) => typeof part === "string");
    return isOurs ? parts : undefined;
  } catch {
    return undefined;
  }
}

/** Returns a cursor that only the list of this name takes. */
export function cursorOf(list: string, ...parts: readonly string[]): string {
  return encodeCursor([list, ...parts]);
}

/** Returns the parts of a cursor of {@link cursorOf}; `undefined` for one of another list, and for anything else. */
export function placeIn(list: string, cursor: string, length: number): readonly string[] | undefined {
  const [name, ...parts] = parseCursor(cursor, length + 1) ?? [];
  return name === list ? parts : undefined;
}

/** Returns the refusal of a cursor that does not belong to the list. */
export function badCursor() {
  return refuse(
    "invalid-cursor",
    "The cursor is not one of this list. Use `nextCursor`, or `next` of a skeleton, of the page before, unchanged.",
  );
}
