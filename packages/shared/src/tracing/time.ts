/**
 * Points in time as whole seconds and nanoseconds, the shape of protobuf's `Timestamp`. Epoch nanoseconds do not fit into a
 * `number` (2^53 ns is April 1970), and a BigInt for every reading costs more than the rest of a span. Two small integers are
 * exact, and together they form the decimal string that OTLP requires.
 */

/** A point in time. `nanos` is 0 to 999,999,999; `seconds` is whole, 0 or more: OTLP times are unsigned. */
export interface EpochTime {
  readonly seconds: number;
  readonly nanos: number;
}

/** A time as callers pass it: a number is epoch milliseconds (fractions allowed), a bigint is epoch nanoseconds. */
export type TimeInput = EpochTime | Date | number | bigint;

/**
 * Returns the current time. It is always injected, so that tests can control it; in a deployed Worker it stands still between
 * I/O.
 */
export type Clock = () => EpochTime;

/** A clock on which durations are monotonic between two calls of {@link AnchoredClock.anchor}. */
export interface AnchoredClock extends Clock {
  /** Reads the wall clock again: after a pause of the machine, after a restore, or at the start of a unit of work. */
  anchor(): void;
}

const NANOS_PER_MS = 1e6;
const NANOS_PER_SECOND = 1e9;
/** OTLP's 64 bits for nanoseconds end in the year 2554. */
const SECONDS_END = 18_446_744_073;

/** Returns `base` whole milliseconds plus `ms`, whose fraction is rounded to nanoseconds. */
function fromMillis(ms: number, base = 0): EpochTime {
  const whole = Math.floor(ms);
  const seconds = Math.floor((base + whole) / 1000);
  // `| 0` makes it a small integer, which V8 stores in place; a heap number costs 16 bytes more.
  const nanos = ((base + whole - seconds * 1000) * NANOS_PER_MS + Math.round((ms - whole) * NANOS_PER_MS)) | 0;
  return nanos < NANOS_PER_SECOND ? { seconds, nanos } : { seconds: seconds + 1, nanos: 0 };
}

/** The wall clock in whole milliseconds: the clock for Workers, which have nothing finer. */
export const wallClock: Clock = () => fromMillis(Date.now());

/**
 * Creates a clock of a wall-clock anchor plus monotonic time: it has sub-millisecond precision, and a step of the wall clock cannot
 * distort a duration. The anchor is read with the first time, not at creation, since a Worker's global scope has no time.
 * @param wall epoch milliseconds, read at each anchor
 * @param monotonic milliseconds since any fixed point
 */
export function createAnchoredClock(
  wall: () => number = Date.now,
  monotonic: () => number = () => performance.now(),
): AnchoredClock {
  let wallMs = 0;
  let startMs: number | undefined;
  const anchor = () => {
    wallMs = Math.floor(wall());
    startMs = monotonic();
  };
  const now = () => {
    if (startMs === undefined) anchor();
    return fromMillis(Math.max(0, monotonic() - (startMs as number)), wallMs);
  };
  return Object.assign(now, { anchor });
}

/**
 * Returns a strictly increasing clock: it adds single nanoseconds to repeated readings. In deployed workerd, where time stands
 * still between I/O, this records the order of events in digits that the clock leaves empty, and every viewer sorts by them.
 */
export function strictlyIncreasing(clock: Clock): Clock {
  let last: EpochTime = { seconds: -1, nanos: 0 };
  return () => {
    const now = clock();
    last = compareTimes(now, last) > 0 ? now : addNanosecond(last);
    return last;
  };
}

function addNanosecond({ seconds, nanos }: EpochTime): EpochTime {
  return nanos + 1 < NANOS_PER_SECOND ? { seconds, nanos: nanos + 1 } : { seconds: seconds + 1, nanos: 0 };
}

/** Returns a negative number if `a` is before `b`, 0 if they are equal. */
export function compareTimes(a: EpochTime, b: EpochTime): number {
  return a.seconds - b.seconds || a.nanos - b.nanos;
}

/** Returns the milliseconds from `start` to `end`, with fractions. */
export function millisBetween(start: EpochTime, end: EpochTime): number {
  return (end.seconds - start.seconds) * 1000 + (end.nanos - start.nanos) / NANOS_PER_MS;
}

/**
 * Converts a time. Exact for every whole millisecond and every bigint; fractions of a millisecond are rounded to nanoseconds.
 * Returns `undefined` for values that OTLP cannot represent: NaN, before 1970, after 2554, malformed.
 */
export function toEpochTime(input: TimeInput): EpochTime | undefined {
  const time = readTime(input);
  return isBelow(SECONDS_END, time.seconds) && isBelow(NANOS_PER_SECOND, time.nanos) ? time : undefined;
}

function readTime(input: TimeInput): EpochTime {
  if (typeof input === "bigint") {
    const perSecond = BigInt(NANOS_PER_SECOND);
    return { seconds: Number(input / perSecond), nanos: Number(input % perSecond) };
  }
  return typeof input === "number" || input instanceof Date ? fromMillis(Number(input)) : input;
}

function isBelow(end: number, value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < end;
}

/** Formats epoch nanoseconds as the decimal string of OTLP's `fixed64` fields, exact to the digit. */
export function formatNanos({ seconds, nanos }: EpochTime): string {
  return seconds > 0 ? seconds + String(NANOS_PER_SECOND + nanos).slice(1) : String(nanos);
}
