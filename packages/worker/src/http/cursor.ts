import { badCursor, parseCursor } from "../durable-objects/core/cursor.ts";
import { unwrap } from "./problem.ts";

/** Decodes the cursor of a request. @throws ApiError if the API did not issue it for a list of this kind */
export function decodeCursor(cursor: string, length: number): readonly string[] {
  const parts = parseCursor(cursor, length);
  if (parts !== undefined) return parts;
  return unwrap(badCursor());
}
