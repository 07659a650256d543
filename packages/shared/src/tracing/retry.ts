/** Decides when to retry an export (OTLP, "OTLP/HTTP Response", "OTLP/HTTP Throttling"). Pure; times are milliseconds. */

const RETRYABLE = [429, 502, 503, 504];
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
/** The longest `Retry-After` that is honoured: a longer one is a mistake, or hostile. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/** How often a batch is sent, retries included. */
export const MAX_ATTEMPTS = 6;

/** Returns whether a request with this response status may be retried. OTLP forbids a retry for any other 4xx or 5xx. */
export function isRetryableStatus(status: number): boolean {
  return RETRYABLE.includes(status);
}

/**
 * Returns whether a person has to change something before the backend accepts the batch: the path, the token, or the endpoint of a
 * redirect, which is not followed. The batch itself is valid.
 */
export function isHeldStatus(status: number): boolean {
  return [401, 403, 404, 405].includes(status) || (status >= 300 && status < 400);
}

/**
 * Parses a `Retry-After` header (RFC 9110, section 10.2.3): seconds or an HTTP date. Returns the delay, at most an hour;
 * `undefined` for a missing or malformed header.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  const value = header?.trim() ?? "";
  // Every HTTP date begins with a day's name; `Date.parse` accepts other texts, too.
  const delay = /^\d+$/.test(value)
    ? Number(value) * 1000
    : /^[A-Z][a-z]/.test(value)
      ? Date.parse(value) - nowMs
      : NaN;
  return Number.isNaN(delay) ? undefined : Math.min(Math.max(delay, 0), LONGEST_RETRY_AFTER_MS);
}

/**
 * Returns the delay before the next attempt if the backend named none: exponential backoff with a jitter of ±20 %.
 * @param attempts how many attempts have failed, from 1
 * @param random 0 to 1
 * @param longestMs the longest delay before jitter
 */
export function backoffMs(attempts: number, random: number, longestMs = LONGEST_DELAY_MS): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (attempts - 1), longestMs) * (0.8 + 0.4 * random);
}
