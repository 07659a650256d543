import { parseCursor } from "../durable-objects/core/cursor.ts";
import { problem } from "./problem.ts";

/** Decodes the cursor of a request. @throws ApiError if the API did not issue it for a list of this kind */
export function decodeCursor(cursor: string, length: number): readonly string[] {
  const parts = parseCursor(cursor, length);
  if (parts !== undefined) return parts;
  throw problem("invalid-input", { errors: [{ path: "cursor", message: "is not a cursor of this list" }] });
}
