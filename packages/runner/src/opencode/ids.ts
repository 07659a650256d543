import { createHash, randomBytes } from "node:crypto";

/**
 * A span id made from what identifies the thing, so that events that come twice, or a turn that is read again from
 * OpenCode's history, give the same spans.
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

let lastTick = 0n;

/**
 * A message id as OpenCode makes them: 48 bits of time and counter, then random characters. It ascends within the
 * process, since OpenCode's loop compares ids by order.
 */
export function newMessageId(nowMs = Date.now()): string {
  const tick = BigInt(Math.floor(nowMs)) * 4096n;
  lastTick = tick > lastTick ? tick : lastTick + 1n;
  const time = (lastTick & 0xffff_ffff_ffffn).toString(16).padStart(12, "0");
  return `msg_${time}${randomBytes(7).toString("hex")}`;
}
