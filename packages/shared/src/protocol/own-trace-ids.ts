/**
 * Trace ids for traces that begin in a sandbox. Without them, anybody with a runner's token could add spans to any trace whose id
 * is known. Such an id proves its session: its first half is a hash of the session's id and of its second half, which is random
 * (the W3C `random` flag requires the last seven bytes to be random).
 */

/**
 * Returns the SHA-256 of a text in lower-case hex. The caller passes it, since no implementation is synchronous on every
 * platform.
 */
export type Sha256 = (text: string) => string;

const HALF = 16;

/** Returns a trace id for a session. @param random 16 lower-case hex digits */
export function ownTraceId(sessionId: string, random: string, sha256: Sha256): string {
  return sha256(`valet trace ${sessionId} ${random}`).slice(0, HALF) + random;
}

/** Returns whether a trace id was created for this session. */
export function isOwnTraceId(traceId: string, sessionId: string, sha256: Sha256): boolean {
  return traceId === ownTraceId(sessionId, traceId.slice(HALF), sha256);
}
