/** Arguments that several tools take. */
import { SpanId } from "@valet/shared/protocol/session-api";
import { z } from "zod";

/** An id, or its beginning where that is unique (whole-ids.ts). */
const id = z.string().regex(/^[\w.:-]{1,128}$/, "an id, or its beginning");

export const session = id.describe(
  "The session's id, `ses_…`, or its beginning if no other one begins so; the tool `sessions` lists them",
);
export const parent = id.describe("Only turns of the children of this session");
export const message = id.describe("The id of a message, or of a workflow's execution, or its beginning");
export const trace = id.describe(
  "The trace's id, 32 hex digits, or its beginning; the tool `traces` lists those of a session",
);
export const span = SpanId.describe("A span's id: 16 hex digits");

/** Returns how many entries are wanted. */
export function limit(most: number, usual: number): z.ZodDefault<z.ZodInt> {
  return z.int().min(1).max(most).default(usual).describe(`How many, at most ${most}`);
}
