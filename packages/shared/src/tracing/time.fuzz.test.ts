import fc from "fast-check";
import { expect } from "vitest";
import { fuzz } from "../../test/fuzz-runs.ts";
import {
  compareTimes,
  createAnchoredClock,
  type EpochTime,
  formatNanos,
  millisBetween,
  strictlyIncreasing,
  type TimeInput,
  toEpochTime,
} from "./time.ts";

const YEAR_2200 = Date.UTC(2200, 0);
const milliseconds = fc.integer({ min: 0, max: YEAR_2200 });

/** Milliseconds as `count / 2 ** bits`: binary fractions, which a number holds exactly, as every clock's readings are. */
const fractions = fc
  .tuple(fc.integer({ min: 10, max: 30 }), fc.maxSafeNat())
  .map(([bits, count]) => ({ bits, count, ms: count / 2 ** bits }))
  .filter(({ ms }) => ms <= YEAR_2200);

/** The nearest nanosecond, halves up, of `count / 2 ** bits` milliseconds. */
function nanosOf({ bits, count }: { bits: number; count: number }): bigint {
  return (2n * BigInt(count) * 1_000_000n + 2n ** BigInt(bits)) / 2n ** BigInt(bits + 1);
}

function time(input: TimeInput): EpochTime {
  return toEpochTime(input) ?? expect.fail(`${input} is no time`);
}

fuzz("any millisecond from 1970 to 2200 comes out to the digit", milliseconds, (ms) => {
  const expected = String(BigInt(ms) * 1_000_000n);
  expect(formatNanos(time(ms))).toBe(expected);
  expect(formatNanos(time(new Date(ms)))).toBe(expected);
  expect(
    formatNanos(
      createAnchoredClock(
        () => ms,
        () => 0,
      )(),
    ),
  ).toBe(expected);
});

fuzz("any fraction of a millisecond comes out to the nearest nanosecond", fractions, (fraction) => {
  expect(formatNanos(time(fraction.ms))).toBe(String(nanosOf(fraction)));
});

fuzz(
  "an anchored clock adds any monotonic duration to the nanosecond",
  fc.tuple(milliseconds, fractions),
  ([ms, elapsed]) => {
    let monotonic = 0;
    const clock = createAnchoredClock(
      () => ms,
      () => monotonic,
    );
    clock();
    monotonic = elapsed.ms;
    expect(formatNanos(clock())).toBe(String(BigInt(ms) * 1_000_000n + nanosOf(elapsed)));
  },
);

const nanoseconds = fc.bigInt({ min: 0n, max: BigInt(YEAR_2200) * 1_000_000n });

fuzz("any nanosecond as a bigint comes out to the digit", nanoseconds, (nanos) => {
  expect(formatNanos(time(nanos))).toBe(String(nanos));
});

fuzz("order and distance are those of the nanoseconds", fc.tuple(nanoseconds, nanoseconds), ([a, b]) => {
  expect(Math.sign(compareTimes(time(a), time(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
  expect(millisBetween(time(a), time(b))).toBeCloseTo(Number(b - a) / 1e6, 2);
});

/** A clock that barely moves: stands still, steps ahead, goes back. */
const readings = fc
  .tuple(nanoseconds, fc.array(fc.bigInt({ min: 0n, max: 4n }), { minLength: 2, maxLength: 20 }))
  .map(([base, steps]) => steps.map((step) => base + step));

fuzz("whatever a clock reads, no two readings are equal or go back", readings, (given) => {
  let next = 0;
  const clock = strictlyIncreasing(() => time(given[next++] as bigint));
  let last = -1n;
  for (const reading of given) {
    const now = BigInt(formatNanos(clock()));
    expect(now).toBe(reading > last ? reading : last + 1n);
    last = now;
  }
});
