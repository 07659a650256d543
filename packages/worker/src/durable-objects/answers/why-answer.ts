/** Collects what the answer `why` is made from: the job, its turns, and the spans of every trace that it waited for. Writes nothing. */
import type { WhyJob, WhyLink, WhySpan } from "@valet/shared/answers/why/spans";
import { why } from "@valet/shared/answers/why/why";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import type { WhyView } from "@valet/shared/protocol/why";
import { failedAs } from "../core/failed-as.ts";
import { isTraced } from "../core/session-tracer.ts";
import type { JobRow, JobStore } from "../queue/job-store.ts";

export interface WhyOptions {
  readonly sessionId: () => string;
  readonly jobs: Pick<JobStore, "attempt" | "doneBefore">;
  readonly records: { ofAttempts(attemptIds: readonly string[]): TurnRecord[] };
  /** Returns the spans of a trace, open or ended; of a trace that has more than `most` those that ended last. */
  readonly spansOf: (traceId: string, most: number) => readonly WhySpan[];
  readonly now: () => number;
}

/** The most spans of the job's own traces, and of each other trace. More would take longer than a second. */
const MAX_OWN_SPANS = 60_000;
const MAX_OTHER_SPANS = 10_000;
/** The most traces that are read besides, and the most spans of them together. */
const MAX_TRACES = 24;
const MAX_SPANS = 80_000;

/** What leads from a job to what it waited for, and from that to why it was needed. */
const WAITED_FOR: readonly WhyLink["type"][] = ["waited_on"];
const LED_TO: readonly WhyLink["type"][] = ["follows", "caused_by"];

export class WhyAnswer {
  readonly #options: WhyOptions;

  constructor(options: WhyOptions) {
    this.#options = options;
  }

  of(row: JobRow): WhyView {
    const { sessionId, now } = this.#options;
    const spans = this.#spans(row);
    return why({
      job: jobOf(row, sessionId()),
      turns: this.#turns(row, spans),
      spans,
      nowMs: Math.max(now(), row.acceptedMs),
    });
  }

  #turns({ id, attemptId }: JobRow, spans: readonly WhySpan[]): TurnRecord[] {
    const dispatched = spans.flatMap(({ name, attributes }) => {
      const attempt = attributes["valet.dispatch.attempt_id"];
      return name.endsWith(".dispatch") && typeof attempt === "string" ? [attempt] : [];
    });
    const ids = new Set([...dispatched, ...(attemptId === null ? [] : [attemptId])]);
    return this.#options.records.ofAttempts([...ids]).filter((record) => record.message_ids.includes(id));
  }

  /** Reads the job's traces, those that it waited for, directly or behind others, and the last turn of its channel before it. */
  #spans(row: JobRow): WhySpan[] {
    const { jobs } = this.#options;
    const reader = new TraceReading(this.#options.spansOf);
    const dispatched = jobs.attempt(row.attemptId ?? "")?.context;
    const own = [row.context, ...(dispatched === undefined ? [] : [dispatched])].filter(isTraced);
    let found = own.flatMap(({ traceId }) => reader.read(traceId, MAX_OWN_SPANS));
    const all = [...found];
    while (found.length > 0) {
      found = linked(found, WAITED_FOR).flatMap((traceId) => reader.readOther(traceId));
      for (const span of found) all.push(span);
    }
    found = linked(all, LED_TO).flatMap((traceId) => reader.readOther(traceId));
    while (found.length > 0) {
      for (const span of found) all.push(span);
      // The first of several starts that failed tells why the others were needed.
      found = linked(found.filter(isFailedStart), ["follows"]).flatMap((traceId) => reader.readOther(traceId));
    }
    const before = jobs.doneBefore(row.channel, row.seq);
    if (before !== undefined && isTraced(before.context)) {
      for (const span of reader.readOther(before.context.traceId)) all.push(span);
    }
    return all;
  }
}

/** Reads each trace once, and not more than is bounded. */
class TraceReading {
  readonly #spansOf: WhyOptions["spansOf"];
  readonly #read = new Set<string>();
  #left = MAX_SPANS;
  #traces = 0;

  constructor(spansOf: WhyOptions["spansOf"]) {
    this.#spansOf = spansOf;
  }

  read(traceId: string, most: number): readonly WhySpan[] {
    if (this.#read.has(traceId) || this.#left <= 0) return [];
    this.#read.add(traceId);
    const spans = this.#spansOf(traceId, Math.min(most, this.#left));
    this.#left -= spans.length;
    return spans;
  }

  readOther(traceId: string): readonly WhySpan[] {
    if (this.#read.has(traceId) || this.#traces >= MAX_TRACES) return [];
    this.#traces++;
    return this.read(traceId, MAX_OTHER_SPANS);
  }
}

function isFailedStart({ name, outcome }: WhySpan): boolean {
  return (name === "valet.sandbox.spawn" || name === "valet.sandbox.restore") && outcome !== "ok";
}

/** Returns the traces that spans link to: the last link of each span first, since it is of what was waited for last. */
function linked(spans: readonly WhySpan[], types: readonly WhyLink["type"][]): string[] {
  return spans.flatMap(({ links }) =>
    links
      .filter(({ type }) => types.includes(type))
      .map(({ traceId }) => traceId)
      .reverse(),
  );
}

function jobOf(row: JobRow, sessionId: string): WhyJob {
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
