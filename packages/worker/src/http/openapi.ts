/** What the route descriptions share. */
import { PROBLEM_TYPE, Problem } from "@valet/shared/http/problem";
import { SessionId } from "@valet/shared/protocol/session-api";
import { z } from "zod";

export const SESSION_PATH = "/api/sessions/{id}";
export const SessionParams = z.object({ id: SessionId });

/** A JSON answer. */
export function answer<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { "application/json": { schema } } };
}

/** A required JSON body, with an example of it. */
export function body<S extends z.ZodType>(schema: S, example: z.input<S>) {
  return { required: true, content: { "application/json": { schema, example } } };
}

/** The description of all error answers. */
export const PROBLEM = {
  description: "What is wrong (RFC 9457)",
  content: { [PROBLEM_TYPE]: { schema: Problem } },
};
