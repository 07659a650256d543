/** Finds the traces whose spans are to be verified. */
import { SessionId } from "@valet/shared/protocol/session-api";
import type { ApiClient } from "./api-client.ts";
import { UserError } from "./errors.ts";
import { findSessionId } from "./find-id.ts";
import { findWhy } from "./find-why.ts";

/** What is verified: all traces of a session, or those of one message or workflow. */
export interface Verifiable {
  readonly what: string;
  readonly sessionId: string;
  readonly traceIds: readonly string[];
}

/**
 * Finds what ids of a session, a message or a workflow name.
 * @param first the session, if there is a second; else any of them
 * @throws UserError if it has no trace
 */
export async function findVerifiable(api: ApiClient, first: string, second: string | undefined): Promise<Verifiable> {
  const isSession = SessionId.safeParse(first).success || first.startsWith("ses_");
  if (isSession && second === undefined) {
    const sessionId = await findSessionId(api, first);
    const traceIds = (await api.traces(sessionId)).map(({ traceId }) => traceId);
    if (traceIds.length === 0) throw new UserError(`Session ${sessionId} has no traces.`, { type: "trace-not-found" });
    return { what: `Session ${sessionId}`, sessionId, traceIds };
  }
  const { sessionId, messageId, kind, traceId } =
    second === undefined ? await findWhy(api, first, undefined) : await findWhy(api, second, first);
  if (traceId === null)
    throw new UserError(`The ${kind} ${messageId} has no trace: tracing was off.`, { type: "trace-not-found" });
  const traceIds =
    kind === "workflow"
      ? [traceId]
      : (await api.certifyMessage(sessionId, messageId)).traces.map((trace) => trace.traceId);
  return { what: `${kind === "workflow" ? "Workflow" : "Message"} ${messageId}`, sessionId, traceIds };
}
