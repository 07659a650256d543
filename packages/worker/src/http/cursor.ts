/** Cursors of lists: where a page ended, in a form that nobody is tempted to build by hand. */
import { problem } from "./problem.ts";

export function encodeCursor(parts: readonly string[]): string {
  return btoa(JSON.stringify(parts)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @throws ApiError if it is none of ours */
export function decodeCursor(cursor: string, length: number): readonly string[] {
  try {
    const parts: unknown = JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/")));
    const isOurs = Array.isArray(parts) && parts.length === length && parts.every((part) => typeof part === "string");
    if (isOurs) return parts as string[];
  } catch {}
  throw problem("invalid-input", { errors: [{ path: "cursor", message: "is not one of ours" }] });
}
