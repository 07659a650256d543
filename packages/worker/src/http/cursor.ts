import { badCursor, placeIn } from "../durable-objects/core/cursor.ts";
import { unwrap } from "./problem.ts";

/** Decodes the cursor of a request. @throws ApiError if the API did not issue it for the list of this name */
export function decodeCursor(list: string, cursor: string, length: number): readonly string[] {
  const parts = placeIn(list, cursor, length);
  if (parts !== undefined) return parts;
  return unwrap(badCursor());
}
