/** What a session tells another session of its family for an answer `why` there. Writes nothing. */
import type { WhyOther, WhySpan } from "@valet/shared/answers/why/spans";
import type { JobKind, JobRow, JobStore } from "../queue/job-store.ts";
import { type JobSpans, jobOf, linked, type SpanBounds } from "./job-spans.ts";

/** What the other session asks. All of it is data of the same owner. */
export interface FamilySpansRequest {
  /** The traces of the other session's work, and those that this work links to. */
  readonly traceIds: readonly string[];
  /** When the work was accepted, and when it ended or now, epoch ms. Jobs that were accepted meanwhile may belong to it. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

export interface FamilySpans extends Pick<WhyOther, "jobs" | "lacksJobs"> {
  readonly spans: readonly WhySpan[];
}

/** How many traces may be asked about. */
export const MAX_ASKED_TRACES = 40;
/** How many of the newest jobs of either kind are looked at, and how many are told. */
const MAX_LOOKED_AT = 50;
const MAX_TOLD = 8;
const BOUNDS: SpanBounds = { own: 5000, other: 2000, all: 10_000 };

export interface FamilySpansOptions {
  readonly sessionId: () => string;
  readonly jobs: Pick<JobStore, "jobsBefore">;
  readonly spans: JobSpans;
  /** Returns when the session's runner was last heard, epoch ms, if the link to it is down. */
  readonly runnerGoneMs: () => number | undefined;
}

/**
 * Returns the jobs that the asked traces caused, those that are in them, and those about which they report; with the spans of these
 * jobs, and of the asked traces.
 */
export function familySpans(
  { sessionId, jobs, spans: jobSpans, runnerGoneMs }: FamilySpansOptions,
  request: FamilySpansRequest,
): FamilySpans {
  const { sinceMs, untilMs } = request;
  const reading = jobSpans.reading(BOUNDS);
  const asked = new Set(request.traceIds.slice(0, MAX_ASKED_TRACES));
  const spans: WhySpan[] = [...asked].flatMap((traceId) => reading.readOwn(traceId));
  const reported = new Set(linked(spans, ["caused_by"]));
  const isNear = ({ source, acceptedMs }: JobRow) =>
    source === "system" && acceptedMs >= sinceMs - SKEW_MS && acceptedMs <= untilMs + SKEW_MS;
  // A report may be about the start for which a job waited.
  const operations = new Set(spans.flatMap(({ links }) => links.map(({ spanId }) => spanId)));
  const isIn = ({ context: { traceId }, waitedOn }: JobRow) =>
    asked.has(traceId) || reported.has(traceId) || (waitedOn !== null && operations.has(waitedOn));
  const told: WhyOther["jobs"][number][] = [];
  const looked = KINDS.map((kind) => jobs.jobsBefore(kind, Number.MAX_SAFE_INTEGER, MAX_LOOKED_AT));
  // Work that was given to this session is not older than the work that gave it.
  let lacksJobs = looked.some(
    (rows) => rows.length >= MAX_LOOKED_AT && rows.every((row) => row.acceptedMs >= sinceMs - SKEW_MS),
  );
  for (const row of looked.flat().filter((each) => isIn(each) || isNear(each))) {
    const own = jobSpans.of(row, reading);
    if (!isIn(row) && !own.some((span) => isAskedBy(span, row, asked))) continue;
    if (told.length >= MAX_TOLD) {
      lacksJobs = true;
      break;
    }
    for (const span of own) spans.push(span);
    const goneMs = row.endedMs === null ? runnerGoneMs() : undefined;
    told.push({ job: jobOf(row, sessionId()), ...jobSpans.recordsOf(row, own), runnerGoneMs: goneMs });
  }
  return { jobs: told.toSorted((a, b) => a.job.acceptedAtMs - b.job.acceptedAtMs), lacksJobs, spans };
}

/** By how much the clocks of two objects may differ, in ms. */
const SKEW_MS = 5000;
const KINDS: readonly JobKind[] = ["message", "workflow"];

/** Returns whether a span is that of the job, and links to a tool call in one of the asked traces. */
function isAskedBy({ name, attributes, links }: WhySpan, { id }: JobRow, asked: ReadonlySet<string>): boolean {
  return (
    name === "valet.prompt" && attributes["valet.message.id"] === id && links.some((link) => asked.has(link.traceId))
  );
}
