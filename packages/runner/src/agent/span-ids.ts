/** Ids of spans that are known before anything has been told of them. */
import { createHash } from "node:crypto";

/**
 * A span id made from what identifies the thing, so that events that come twice, or a turn that is read again from
 * the agent's history, give the same spans.
 */
export function deriveSpanId(...identity: readonly (string | number)[]): string {
  const id = createHash("sha256").update(identity.join("\0")).digest("hex").slice(0, 16);
  // All zero would be no id: once in 2^64.
  return /^0+$/.test(id) ? "0000000000000001" : id;
}

/** The span of a step's call of the model, known before anything has been told of it. @param place of the call in its step, from 1 */
export function chatSpanId(attemptId: string, sessionId: string, messageId: string, place = 1): string {
  return deriveSpanId(attemptId, sessionId, messageId, "chat", place);
}

/** The span of a tool call, known before anything has been told of it. */
export function toolSpanId(attemptId: string, sessionId: string, messageId: string, callId: string): string {
  return deriveSpanId(attemptId, sessionId, messageId, "tool", callId);
}
