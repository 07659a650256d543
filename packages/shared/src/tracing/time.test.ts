import { describe, expect, test } from "vitest";
import {
  compareTimes,
  createAnchoredClock,
  type EpochTime,
  formatNanos,
  millisBetween,
  strictlyIncreasing,
  type TimeInput,
  toEpochTime,
  wallClock,
} from "./time.ts";

function digits(input: TimeInput): string | undefined {
  const time = toEpochTime(input);
  return time && formatNanos(time);
}

describe("toEpochTime", () => {
  test("whole milliseconds are exact", () => {
    expect(digits(0)).toBe("0");
    expect(digits(1)).toBe("1000000");
    expect(digits(999)).toBe("999000000");
    expect(digits(1000)).toBe("1000000000");
    expect(digits(1_700_000_000_001)).toBe("1700000000001000000");
    expect(digits(Date.UTC(2200, 0))).toBe("7258118400000000000");
  });

  test("inputs of the same time yield the same result", () => {
    const expected: EpochTime = { seconds: 1_700_000_000, nanos: 123_000_000 };
    for (const input of [1_700_000_000_123, 1_700_000_000_123_000_000n, new Date(1_700_000_000_123), expected]) {
      expect(toEpochTime(input)).toEqual(expected);
    }
  });

  test("fractions of a millisecond are rounded to nanoseconds, and carry into the next second", () => {
    expect(digits(0.25)).toBe("250000");
    expect(digits(0.0000004)).toBe("0");
    expect(digits(0.0000006)).toBe("1");
    expect(digits(999.9999994)).toBe("999999999");
    expect(digits(999.9999996)).toBe("1000000000");
    expect(digits(1_700_000_000_000.5)).toBe("1700000000000500000");
  });

  test("a bigint is nanoseconds, to the last digit", () => {
    expect(digits(1n)).toBe("1");
    expect(digits(1_700_000_000_123_456_789n)).toBe("1700000000123456789");
  });

  test.each<[string, TimeInput]>([
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["a negative number", -1],
    ["a negative fraction", -0.001],
    ["a negative bigint", -1n],
    ["a bigint of a negative second", -1_000_000_000n],
    ["an invalid date", new Date(Number.NaN)],
    ["a date before 1970", new Date(-1)],
    ["a number past what 64 bits hold", 1e300],
    ["a bigint past what 64 bits hold", 2n ** 64n],
    ["negative seconds", { seconds: -1, nanos: 0 }],
    ["fractions of a second", { seconds: 1.5, nanos: 0 }],
    ["seconds past what 64 bits hold", { seconds: 2 ** 53, nanos: 0 }],
    ["negative nanoseconds", { seconds: 1, nanos: -1 }],
    ["fractions of a nanosecond", { seconds: 1, nanos: 0.5 }],
    ["a second of nanoseconds", { seconds: 1, nanos: 1_000_000_000 }],
    ["something else", {} as EpochTime],
  ])("%s is no time", (_name, input) => {
    expect(toEpochTime(input)).toBeUndefined();
  });

  test("the last time fits into 64 bits", () => {
    expect(digits(18_446_744_072_999_999_999n)).toBe("18446744072999999999");
    expect(toEpochTime(18_446_744_073_000_000_000n)).toBeUndefined();
  });
});

describe("compareTimes and millisBetween", () => {
  const early: EpochTime = { seconds: 1, nanos: 999_999_999 };
  const late: EpochTime = { seconds: 2, nanos: 1 };

  test("seconds come before nanoseconds", () => {
    expect(compareTimes(early, late)).toBeLessThan(0);
    expect(compareTimes(late, early)).toBeGreaterThan(0);
    expect(compareTimes(late, { ...late })).toBe(0);
    expect(compareTimes(late, { ...late, nanos: 2 })).toBeLessThan(0);
  });

  test("durations keep their fractions and their sign", () => {
    expect(millisBetween({ seconds: 10, nanos: 250_000 }, { seconds: 12, nanos: 750_000 })).toBe(2000.5);
    expect(millisBetween(late, early)).toBeCloseTo(-0.000002, 9);
  });
});

test("the wall clock reads whole milliseconds of now", () => {
  const before = Date.now();
  const time = wallClock();
  const after = Date.now();
  expect(time.nanos % 1_000_000).toBe(0);
  expect(compareTimes(time, toEpochTime(before) as EpochTime)).toBeGreaterThanOrEqual(0);
  expect(compareTimes(time, toEpochTime(after) as EpochTime)).toBeLessThanOrEqual(0);
});

describe("createAnchoredClock", () => {
  /** A clock on two hands that the test sets. */
  function handSet(wall: number, monotonic: number) {
    const hands = { wall, monotonic, readings: 0 };
    const readWall = () => {
      hands.readings++;
      return hands.wall;
    };
    return { hands, clock: createAnchoredClock(readWall, () => hands.monotonic) };
  }

  test("reads the wall clock first and adds monotonic time", () => {
    const { hands, clock } = handSet(0, 0);
    expect(hands.readings).toBe(0);
    hands.wall = 1_700_000_000_000;
    hands.monotonic = 500.25;
    expect(formatNanos(clock())).toBe("1700000000000000000");
    hands.monotonic = 501.375125;
    expect(formatNanos(clock())).toBe("1700000000001125125");
    expect(hands.readings).toBe(1);
  });

  test("a step of the wall clock distorts no duration until the next anchor", () => {
    const { hands, clock } = handSet(1_700_000_000_000, 0);
    const start = clock();
    hands.wall -= 3_600_000;
    hands.monotonic = 10.5;
    expect(millisBetween(start, clock())).toBe(10.5);
    clock.anchor();
    expect(formatNanos(clock())).toBe("1699996400000000000");
    hands.monotonic = 11;
    expect(formatNanos(clock())).toBe("1699996400000500000");
  });

  test("neither does a monotonic clock that goes back", () => {
    const { hands, clock } = handSet(1_700_000_000_000, 100);
    clock();
    hands.monotonic = 50;
    expect(formatNanos(clock())).toBe("1700000000000000000");
  });

  test("a wall clock with fractions gives whole nanoseconds", () => {
    const { hands, clock } = handSet(1_700_000_000_000.123, 0);
    clock();
    hands.monotonic = 0.3;
    expect(formatNanos(clock())).toBe("1700000000000300000");
  });

  test("the platform's own clocks never go back, and are close to the wall clock", () => {
    const clock = createAnchoredClock();
    const before = Date.now();
    let last = clock();
    expect(Math.abs(millisBetween(toEpochTime(before) as EpochTime, last))).toBeLessThan(60_000);
    for (let i = 0; i < 1000; i++) {
      const now = clock();
      expect(compareTimes(now, last)).toBeGreaterThanOrEqual(0);
      last = now;
    }
  });
});

describe("strictlyIncreasing", () => {
  test("on a frozen clock, each reading is a nanosecond after the last, even across the end of a second", () => {
    const clock = strictlyIncreasing(() => ({ seconds: 1_700_000_000, nanos: 999_999_998 }));
    expect([1, 2, 3, 4].map(() => formatNanos(clock()))).toEqual([
      "1700000000999999998",
      "1700000000999999999",
      "1700000001000000000",
      "1700000001000000001",
    ]);
  });

  test("a clock that goes back stands still until it has caught up", () => {
    const readings = [5_000_000n, 4_000_000n, 5_000_001n, 5_000_002n, 6_000_000n, 6_000_000n];
    let next = 0;
    const clock = strictlyIncreasing(() => toEpochTime(readings[next++] as bigint) as EpochTime);
    expect(readings.map(() => formatNanos(clock()))).toEqual([
      "5000000",
      "5000001",
      "5000002",
      "5000003",
      "6000000",
      "6000001",
    ]);
  });

  test("does not change a clock that moves", () => {
    let nanos = 0;
    const clock = strictlyIncreasing(() => ({ seconds: 0, nanos: nanos++ }));
    expect([clock(), clock(), clock()].map(formatNanos)).toEqual(["0", "1", "2"]);
  });
});
