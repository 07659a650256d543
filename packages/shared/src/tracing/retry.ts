/** When to try an export again (OTLP, "OTLP/HTTP Response", "OTLP/HTTP Throttling"). Pure; times are milliseconds. */

const RETRYABLE = [429, 502, 503, 504];
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
/** A backend may silence us for this long and no longer: what it asks for beyond is a mistake, or hostile. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/** How often a batch is sent at the most. */
export const MAX_ATTEMPTS = 6;

/** Whether the backend may take later what it answered with this status. No other 4xx or 5xx is to be tried again. */
export function isRetryableStatus(status: number): boolean {
  return RETRYABLE.includes(status);
}

/**
 * Whether a person has to change something before the backend takes the batch: its path, its token, or where a redirect leads,
 * which we do not follow. Nothing is wrong with the batch itself.
 */
export function isHeldStatus(status: number): boolean {
  return [401, 403, 404, 405].includes(status) || (status >= 300 && status < 400);
}

/**
 * The delay that a `Retry-After` asks for (RFC 9110, section 10.2.3): seconds or an HTTP date, at most an hour.
 * `undefined` for a missing or malformed one.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | undefined {
  const value = header?.trim() ?? "";
  // Every form of HTTP date begins with a day's name; without it `Date.parse` would make dates of other things.
  const delay = /^\d+$/.test(value)
    ? Number(value) * 1000
    : /^[A-Z][a-z]/.test(value)
      ? Date.parse(value) - nowMs
      : NaN;
  return Number.isNaN(delay) ? undefined : Math.min(Math.max(delay, 0), LONGEST_RETRY_AFTER_MS);
}

/**
 * The delay before the next attempt when the backend named none: doubling, with a fifth of jitter to either side.
 * @param attempts how many have failed, from 1
 * @param random 0 to 1
 * @param longestMs where it stops to double
 */
export function backoffMs(attempts: number, random: number, longestMs = LONGEST_DELAY_MS): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (attempts - 1), longestMs) * (0.8 + 0.4 * random);
}
