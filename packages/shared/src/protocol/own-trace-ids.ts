/**
 * Trace ids that a sandbox may begin traces of its own with. Whoever holds a runner's token could otherwise put spans into any
 * trace whose id it has heard of. Such an id proves for which session it was drawn: its first half is a hash of the session and
 * of its second half, which is random (the W3C `random` flag wants the last seven bytes random).
 */

/** SHA-256 of a text, in lower-case hex. Given by the caller: no one implementation is synchronous on every platform. */
export type Sha256 = (text: string) => string;

const HALF = 16;

/** @param random 16 lower-case hex digits */
export function ownTraceId(sessionId: string, random: string, sha256: Sha256): string {
  return sha256(`valet trace ${sessionId} ${random}`).slice(0, HALF) + random;
}

/** Whether a trace id was drawn for this session. */
export function isOwnTraceId(traceId: string, sessionId: string, sha256: Sha256): boolean {
  return traceId === ownTraceId(sessionId, traceId.slice(HALF), sha256);
}
