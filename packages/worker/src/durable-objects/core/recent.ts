/** Returns whether less than `ms` have passed. Once the clock was set back, nobody knows, so nothing of before is recent. */
export function isRecent(sinceMs: number, nowMs: number, ms: number): boolean {
  const elapsedMs = nowMs - sinceMs;
  return elapsedMs >= 0 && elapsedMs < ms;
}
