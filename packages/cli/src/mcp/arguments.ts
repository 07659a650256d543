/** Arguments that several tools take. */
import { MessageId, SessionId, SpanId, TraceId } from "@valet/shared/protocol/session-api";
import { z } from "zod";

export const session = SessionId.describe("The session's id, `ses_…`; the tool `sessions` lists them");
export const message = MessageId.describe("The id of a message, or of a workflow's execution");
export const trace = TraceId.describe("The trace's id: 32 hex digits; the tool `traces` lists those of a session");
export const span = SpanId.describe("A span's id: 16 hex digits");

/** Returns how many entries are wanted. */
export function limit(most: number, usual: number): z.ZodDefault<z.ZodInt> {
  return z.int().min(1).max(most).default(usual).describe(`How many, at most ${most}`);
}
