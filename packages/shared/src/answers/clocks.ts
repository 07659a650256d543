/**
 * Which processes of a trace have a clock that differs from the Worker's, and by how much. Stored spans keep their times: views state
 * the difference, and compute ages by the Worker's clock. Pure.
 */
import { breakdownText } from "../duration-text.ts";

/** What is needed of a span. */
export interface ClockSpan {
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  readonly name: string;
  /** Microseconds since 1970. */
  readonly startUs: number;
  /** `undefined` while it is open. */
  readonly endUs?: number | undefined;
  /** `valet.outcome`. */
  readonly outcome?: string | undefined;
  /** Whether it is of a program that a command of the agent ran, which chooses its names and its clock. */
  readonly isAdopted?: boolean | undefined;
}

type Process = "runner" | "broker";

/** A clock that differs. */
export interface WrongClock {
  readonly process: Process;
  /** How far it is ahead of the Worker's, at least, in ms; negative if it is behind. */
  readonly aheadMs: number;
}

export interface Clocks {
  /** The largest difference of each process. */
  readonly wrong: readonly WrongClock[];
  /** Returns what to add to a span's times for those of the Worker's clock, in microseconds; 0 where nothing is known to differ. */
  shiftUs(spanId: string): number;
}

/**
 * What is less stays unsaid: clocks that are set over the network differ by milliseconds, and a second changes neither an age nor what a
 * list shows.
 */
const LEAST_US = 1_000_000;

/** The first spans of a process, by their names, and those of the Worker to which they are the answer. */
const CROSSINGS: readonly (readonly [name: RegExp, parent: RegExp, process: Process])[] = [
  [/^valet\.(?:turn|workflow\.execute)$/, /^valet\.(?:prompt|workflow)\.dispatch$/, "runner"],
  [/^valet\.runner\./, /^valet\.sandbox\./, "runner"],
  [/^[A-Z]+ \/v1\//, /^valet\./, "broker"],
];

/**
 * Compares each first span of a process with the Worker's span that caused it. The process's span began after the Worker's span. It
 * also began before the Worker's span ended, if that one is `ok`; an aborted one may have ended earlier. The clocks differ by at least
 * as much as the process's span began outside of that time.
 */
export function clocksOf(spans: Iterable<ClockSpan>): Clocks {
  const byId = new Map<string, ClockSpan>();
  for (const span of spans) byId.set(span.spanId, span);
  const shifts = new Map<string, number>();
  const largest = new Map<Process, number>();
  for (const span of byId.values()) {
    const parent = span.parentSpanId === undefined ? undefined : byId.get(span.parentSpanId);
    if (span.isAdopted === true || parent === undefined || parent.isAdopted === true) continue;
    const [, , process] = CROSSINGS.find(([name, above]) => name.test(span.name) && above.test(parent.name)) ?? [];
    const shift = process === undefined ? 0 : shiftInto(span.startUs, parent);
    if (process === undefined || Math.abs(shift) < LEAST_US) continue;
    shifts.set(span.spanId, shift);
    if (Math.abs(shift) > Math.abs(largest.get(process) ?? 0)) largest.set(process, -shift);
  }
  return {
    wrong: [...largest].map(([process, aheadUs]) => ({ process, aheadMs: aheadUs / 1000 })),
    shiftUs: (spanId) => (shifts.size === 0 ? 0 : shiftAbove(spanId, byId, shifts)),
  };
}

function shiftInto(atUs: number, { startUs, endUs = Infinity, outcome }: ClockSpan): number {
  if (atUs < startUs) return startUs - atUs;
  return outcome === "ok" && atUs > endUs ? endUs - atUs : 0;
}

/**
 * The Worker's spans that a span of the runner may be above: requests of commands, with the jobs that these bring, and the start of a
 * child session. Their times are by the Worker's clock again.
 */
const WORKERS = /^(?:[A-Z]+ \/api\/|valet\.(?:prompt|workflow|child_session\.spawn)$)/;

function shiftAbove(spanId: string, byId: ReadonlyMap<string, ClockSpan>, shifts: Map<string, number>): number {
  const path = new Set<string>();
  let shift: number | undefined;
  for (let at = byId.get(spanId); shift === undefined && at !== undefined; ) {
    shift = shifts.get(at.spanId) ?? (WORKERS.test(at.name) || path.has(at.spanId) ? 0 : undefined);
    path.add(at.spanId);
    at = at.parentSpanId === undefined ? undefined : byId.get(at.parentSpanId);
  }
  for (const id of path) shifts.set(id, shift ?? 0);
  return shift ?? 0;
}

/** Returns a sentence for each clock that differs. */
export function clockTexts({ wrong }: Clocks): string[] {
  return wrong.map(({ process, aheadMs }) => {
    const by = `about ${breakdownText(Math.abs(aheadMs))} ${aheadMs < 0 ? "behind" : "ahead of"}`;
    return `The ${process}'s clock is ${by} the Worker's; its spans are shown by its own clock.`;
  });
}
