/** Reads what the session's store has of a job: its spans, those of what it waited for, and its turn records. Writes nothing. */
import type { AttemptCost, WhyJob, WhyLink, WhyRecords, WhySpan } from "@valet/shared/answers/why/spans";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import type { SpanContext } from "@valet/shared/tracing";
import { failedAs } from "../core/failed-as.ts";
import { isTraced } from "../core/session-tracer.ts";
import type { AttemptRow, JobRow, JobStore } from "../queue/job-store.ts";

export interface JobSpansOptions {
  readonly jobs: Pick<JobStore, "attempt" | "doneBefore">;
  readonly records: { ofAttempts(attemptIds: readonly string[]): TurnRecord[] };
  /** Returns the spans of a trace, open or ended; of a trace that has more than `most` those that ended last. */
  readonly spansOf: (traceId: string, most: number) => readonly WhySpan[];
  /** The context of the session's termination; `undefined` if it has not been terminated. */
  readonly endContext: () => SpanContext | undefined;
}

/** The most spans of a job's own traces, of each other trace, and of all together. */
export interface SpanBounds {
  readonly own: number;
  readonly other: number;
  readonly all: number;
}

/** The most traces that are read besides a job's own. */
const MAX_TRACES = 24;

/** What leads from a job to what it waited for, and from that to why it was needed. */
const WAITED_FOR: readonly WhyLink["type"][] = ["waited_on"];
const LED_TO: readonly WhyLink["type"][] = ["follows", "caused_by"];

export class JobSpans {
  readonly #options: JobSpansOptions;

  constructor(options: JobSpansOptions) {
    this.#options = options;
  }

  /** Begins to read: every trace is read once, and no more than is bounded. */
  reading(bounds: SpanBounds): TraceReading {
    return new TraceReading(this.#options.spansOf, bounds);
  }

  /** Reads a job's traces, those that it waited for, directly or behind others, and the last turn of its channel before it. */
  of(row: JobRow, reading: TraceReading): WhySpan[] {
    const { jobs, endContext } = this.#options;
    const dispatched = jobs.attempt(row.attemptId ?? "")?.context;
    const own = [row.context, ...(dispatched === undefined ? [] : [dispatched])].filter(isTraced);
    let found = own.flatMap(({ traceId }) => reading.readOwn(traceId));
    const all = [...found];
    while (found.length > 0) {
      found = linked(found, WAITED_FOR).flatMap((traceId) => reading.readOther(traceId));
      for (const span of found) all.push(span);
    }
    found = linked(all, LED_TO).flatMap((traceId) => reading.readOther(traceId));
    while (found.length > 0) {
      for (const span of found) all.push(span);
      // The first of several starts that failed tells why the others were needed.
      found = linked(found.filter(isFailedStart), ["follows"]).flatMap((traceId) => reading.readOther(traceId));
    }
    const end = row.errorType === "session_terminated" ? endContext() : undefined;
    if (end !== undefined && isTraced(end)) for (const span of reading.readOther(end.traceId)) all.push(span);
    const before = jobs.doneBefore(row.channel, row.seq);
    if (before !== undefined && isTraced(before.context)) {
      for (const span of reading.readOther(before.context.traceId)) all.push(span);
    }
    return all;
  }

  /** Returns what is recorded of the job's attempts. @param spans of the job: they name its earlier attempts */
  recordsOf(row: JobRow, spans: readonly WhySpan[]): WhyRecords {
    const { jobs, records } = this.#options;
    const dispatched = spans.flatMap(({ name, attributes }) => {
      const attempt = attributes["valet.dispatch.attempt_id"];
      return name.endsWith(".dispatch") && typeof attempt === "string" ? [attempt] : [];
    });
    const ids = new Set([...dispatched, ...(row.attemptId === null ? [] : [row.attemptId])]);
    const turns = records.ofAttempts([...ids]).filter((record) => record.message_ids.includes(row.id));
    const last = row.attemptId === null || row.status === "done" ? undefined : jobs.attempt(row.attemptId);
    const running = last === undefined || last.state === "ended" ? undefined : costSoFar(last);
    return { turns, running, lacksTurns: row.attempts > 1 && this.#lacksTurns(row, ids) };
  }

  /** Returns whether the job may have turns besides those of some attempts. An attempt that the runner did not accept has no turn. */
  #lacksTurns({ id, attempts, unaccepted }: JobRow, ids: ReadonlySet<string>): boolean {
    const known = [...ids]
      .flatMap((each) => this.#options.jobs.attempt(each) ?? [])
      .filter((each) => each.jobIds.includes(id));
    const knownUnaccepted = known.filter(({ state, acceptedMs }) => state === "ended" && acceptedMs === null).length;
    return attempts - known.length > Math.max(0, unaccepted - knownUnaccepted);
  }
}

export class TraceReading {
  readonly #spansOf: JobSpansOptions["spansOf"];
  readonly #bounds: SpanBounds;
  readonly #read = new Set<string>();
  #left: number;
  #traces = 0;

  constructor(spansOf: JobSpansOptions["spansOf"], bounds: SpanBounds) {
    this.#spansOf = spansOf;
    this.#bounds = bounds;
    this.#left = bounds.all;
  }

  readOwn(traceId: string): readonly WhySpan[] {
    return this.#readTrace(traceId, this.#bounds.own);
  }

  readOther(traceId: string): readonly WhySpan[] {
    if (this.#read.has(traceId) || this.#traces >= MAX_TRACES) return [];
    this.#traces++;
    return this.#readTrace(traceId, this.#bounds.other);
  }

  #readTrace(traceId: string, most: number): readonly WhySpan[] {
    if (this.#read.has(traceId) || this.#left <= 0) return [];
    this.#read.add(traceId);
    const spans = this.#spansOf(traceId, Math.min(most, this.#left));
    this.#left -= spans.length;
    return spans;
  }
}

/** Returns what a running attempt has told so far; `undefined` if it has done nothing, `null` if it tells nothing before its end. */
function costSoFar({ id, context, progress }: AttemptRow): AttemptCost | null | undefined {
  if (progress === null) return isTraced(context) ? undefined : null;
  const { model = null, modelCalls, costUsd, callsWithoutCost = 0, tokens } = progress;
  return {
    attempt_id: id,
    model,
    model_calls: modelCalls,
    cost_usd: costUsd,
    calls_without_cost: callsWithoutCost,
    tokens_input: tokens.input,
    tokens_output: tokens.output,
    tokens_cache_read: tokens.cacheRead,
    tokens_cache_write: tokens.cacheWrite,
  };
}

function isFailedStart({ name, outcome }: WhySpan): boolean {
  return (name === "valet.sandbox.spawn" || name === "valet.sandbox.restore") && outcome !== "ok";
}

/** Returns the traces that spans link to: the last link of each span first, since it is of what was waited for last. */
export function linked(spans: readonly WhySpan[], types: readonly WhyLink["type"][]): string[] {
  return spans.flatMap(({ links }) =>
    links
      .filter(({ type }) => types.includes(type))
      .map(({ traceId }) => traceId)
      .reverse(),
  );
}

/** Returns a job as plain data. */
export function jobOf(row: JobRow, sessionId: string): WhyJob {
  const { outcome, errorType, failure, status } = row;
  const ended = outcome === null ? {} : failedAs(outcome, errorType, failure);
  return {
    sessionId,
    id: row.id,
    kind: row.kind,
    traceId: isTraced(row.context) ? row.context.traceId : null,
    state: status === "done" ? "ended" : status === "queued" ? "queued" : "running",
    acceptedAtMs: row.acceptedMs,
    endedAtMs: row.endedMs,
    outcome,
    failure: ended.failure ?? null,
    outcomeReason: ended.outcomeReason ?? null,
  };
}
