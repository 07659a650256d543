/**
 * Points in time as whole seconds and nanoseconds, the shape of protobuf's `Timestamp`. Epoch nanoseconds do not fit a
 * `number` (2^53 ns is April 1970), and a BigInt for every reading costs more than the rest of a span; two small integers
 * are exact and join to the decimal string that OTLP wants.
 */

/** A point in time. `nanos` is 0 to 999,999,999; `seconds` is whole, 0 or more: OTLP times are unsigned. */
export interface EpochTime {
  readonly seconds: number;
  readonly nanos: number;
}

/** What callers may give as a time: a number is epoch milliseconds (fractions allowed), a bigint epoch nanoseconds. */
export type TimeInput = EpochTime | Date | number | bigint;

/** Reads the current time. Injected everywhere, so that a test or a deployed Worker may freeze it. */
export type Clock = () => EpochTime;

/** A clock on which durations are monotonic between two calls of {@link AnchoredClock.anchor}. */
export interface AnchoredClock extends Clock {
  /** Takes the wall clock's time anew: after a pause of the machine, a restore, or at the start of a unit of work. */
  anchor(): void;
}

const NANOS_PER_MS = 1e6;
const NANOS_PER_SECOND = 1e9;
/** OTLP has 64 bits for nanoseconds: they end in the year 2554. */
const SECONDS_END = 18_446_744_073;

/** `base` whole milliseconds plus `ms`, whose fraction is rounded to nanoseconds. */
function fromMillis(ms: number, base = 0): EpochTime {
  const whole = Math.floor(ms);
  const seconds = Math.floor((base + whole) / 1000);
  // `| 0`: told that it is small, V8 keeps it in place; a number that it takes for a fraction costs 16 bytes more.
  const nanos = ((base + whole - seconds * 1000) * NANOS_PER_MS + Math.round((ms - whole) * NANOS_PER_MS)) | 0;
  return nanos < NANOS_PER_SECOND ? { seconds, nanos } : { seconds: seconds + 1, nanos: 0 };
}

/** The wall clock alone, in whole milliseconds: the clock for Workers, where nothing finer exists. */
export const wallClock: Clock = () => fromMillis(Date.now());

/**
 * A wall-clock anchor plus monotonic time: sub-millisecond, and a step of the wall clock cannot bend a duration.
 * The anchor is taken at the first reading, not at creation: a Worker's global scope has no time yet.
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
 * Makes a clock strictly increasing by adding single nanoseconds to repeated readings. Where time stands still between
 * I/O (deployed workerd), this records the order of events in digits that the clock itself leaves empty, and every
 * viewer sorts by it without being told.
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

/** Negative when `a` is before `b`, 0 when equal. */
export function compareTimes(a: EpochTime, b: EpochTime): number {
  return a.seconds - b.seconds || a.nanos - b.nanos;
}

/** Milliseconds from `start` to `end`, with fractions. */
export function millisBetween(start: EpochTime, end: EpochTime): number {
  return (end.seconds - start.seconds) * 1000 + (end.nanos - start.nanos) / NANOS_PER_MS;
}

/**
 * Exact for every whole millisecond and every bigint; fractions of a millisecond are rounded to nanoseconds. `undefined` for
 * what is no time in OTLP: NaN, before 1970, after 2554, malformed.
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

/** Epoch nanoseconds as the decimal string of OTLP's `fixed64` fields, exact to the digit. */
export function formatNanos({ seconds, nanos }: EpochTime): string {
  return seconds > 0 ? seconds + String(NANOS_PER_SECOND + nanos).slice(1) : String(nanos);
}
