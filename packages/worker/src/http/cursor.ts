import { parseCursor } from "../durable-objects/core/cursor.ts";
import { problem } from "./problem.ts";

/** Reads the cursor of a request. @throws ApiError if the API did not return it for a list of this kind */
export function decodeCursor(cursor: string, length: number): readonly string[] {
  const parts = parseCursor(cursor, length);
  if (parts !== undefined) return parts;
  throw problem("invalid-input", { errors: [{ path: "cursor", message: "is not one of ours" }] });
}
