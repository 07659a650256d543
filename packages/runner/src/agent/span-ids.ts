/** Span ids that are derived, and so are known before any event has reported the span. */
import { createHash } from "node:crypto";

/**
 * Derives a span id from the ids of what the span describes. Duplicate events, or a turn read again from the agent's history,
 * result in the same spans.
 */
export function deriveSpanId(...identity: readonly (string | number)[]): string {
  const id = createHash("sha256").update(identity.join("\0")).digest("hex").slice(0, 16);
  // An id of only zeros is invalid.
  return /^0+$/.test(id) ? "0000000000000001" : id;
}

/** Returns the id of a model call's span. @param place number of the call in its step, from 1 */
export function chatSpanId(attemptId: string, sessionId: string, messageId: string, place = 1): string {
  return deriveSpanId(attemptId, sessionId, messageId, "chat", place);
}

/** Returns the id of a tool call's span. */
export function toolSpanId(attemptId: string, sessionId: string, messageId: string, callId: string): string {
  return deriveSpanId(attemptId, sessionId, messageId, "tool", callId);
}
