import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backoffMs, isHeldStatus, isRetryableStatus, parseRetryAfter } from "./retry.ts";

const NOW = Date.UTC(2026, 0, 1);

describe("R7 retryable statuses", () => {
  test("429, 502, 503 and 504, and no other status", () => {
    const retryable = Array.from({ length: 600 }, (_, status) => status).filter(isRetryableStatus);
    expect(retryable).toEqual([429, 502, 503, 504]);
  });
});

describe("R7 statuses that need a person", () => {
  test("401, 403, 404, 405 and redirects, and no other status", () => {
    const held = Array.from({ length: 600 }, (_, status) => status).filter(isHeldStatus);
    expect(held).toEqual([...Array.from({ length: 100 }, (_, i) => 300 + i), 401, 403, 404, 405]);
  });
});

describe("R8 Retry-After", () => {
  test("seconds", () => {
    expect(parseRetryAfter("0", NOW)).toBe(0);
    expect(parseRetryAfter(" 7 ", NOW)).toBe(7000);
  });

  test("an HTTP date in each of its three forms", () => {
    expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", NOW)).toBe(30_000);
    expect(parseRetryAfter("Thursday, 01-Jan-26 00:00:30 GMT", NOW)).toBe(30_000);
    expect(parseRetryAfter("Thu Jan  1 00:00:30 2026 GMT", NOW)).toBe(30_000);
  });

  test("a date in the past means no delay", () => {
    expect(parseRetryAfter("Wed, 31 Dec 2025 00:00:00 GMT", NOW)).toBe(0);
  });

  test.each([null, "", "soon", "-5", "1.5", "5s", "2026-01-01"])("%j is not valid", (value) => {
    expect(parseRetryAfter(value, NOW)).toBeUndefined();
  });

  test("is at most an hour", () => {
    expect(parseRetryAfter("99999999999999999999", NOW)).toBe(3_600_000);
    expect(parseRetryAfter("Thu, 01 Jan 2099 00:00:00 GMT", NOW)).toBe(3_600_000);
  });
});

describe("R8 backoff", () => {
  test("doubles from a second to half a minute", () => {
    expect([1, 2, 3, 4, 5, 6, 50].map((attempts) => backoffMs(attempts, 0.5))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ]);
  });

  test("doubles up to the caller's longest delay", () => {
    expect([1, 12, 13, 5000].map((attempts) => backoffMs(attempts, 0.5, 3_600_000))).toEqual([
      1000, 2_048_000, 3_600_000, 3_600_000,
    ]);
  });

  test("has a jitter of ±20 %", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
        const middle = backoffMs(attempts, 0.5);
        const delay = backoffMs(attempts, random);
        expect(delay).toBeGreaterThanOrEqual(0.8 * middle - 1e-6);
        expect(delay).toBeLessThanOrEqual(1.2 * middle + 1e-6);
      }),
    );
  });
});
