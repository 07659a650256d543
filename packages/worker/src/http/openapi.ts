/** What the descriptions of routes have in common. */
import { PROBLEM_TYPE, Problem } from "@valet/shared/http/problem";
import { SessionId } from "@valet/shared/protocol/session-api";
import { z } from "zod";

export const SESSION_PATH = "/api/sessions/{id}";
export const SessionParams = z.object({ id: SessionId });

/** An answer as JSON. */
export function answer<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { "application/json": { schema } } };
}

/** A body that must be there, as JSON. */
export function body<S extends z.ZodType>(schema: S) {
  return { required: true, content: { "application/json": { schema } } };
}

/** Every other answer. */
export const PROBLEM = {
  description: "What was wrong (RFC 9457)",
  content: { [PROBLEM_TYPE]: { schema: Problem } },
};
