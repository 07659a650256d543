/** The answer `why` about the session's jobs. Writes nothing. */
import { why } from "@valet/shared/answers/why/why";
import type { WhyView } from "@valet/shared/protocol/why";
import type { JobRow, JobStore } from "../queue/job-store.ts";
import { FamilyReading, type FamilyReadingOptions } from "./family-reading.ts";
import { type FamilySpans, type FamilySpansRequest, familySpans } from "./family-spans.ts";
import { JobSpans, type JobSpansOptions, jobOf, type SpanBounds } from "./job-spans.ts";
import type { SlotHolders } from "./slot-holders.ts";

export interface WhyOptions extends JobSpansOptions {
  readonly sessionId: () => string;
  readonly jobs: JobSpansOptions["jobs"] & Pick<JobStore, "jobsBefore">;
  readonly family: Omit<FamilyReadingOptions, "sessionId">;
  /** Who holds the sandboxes for which the session stands in line. */
  readonly holders: Pick<SlotHolders, "current" | "load">;
  /** Returns when the runner was last heard, if the link to it is down; otherwise `undefined`. */
  readonly runnerGoneMs: (nowMs: number) => number | undefined;
  readonly now: () => number;
}

/** More spans would take longer than a second. */
const BOUNDS: SpanBounds = { own: 60_000, other: 10_000, all: 80_000 };

export class WhyAnswer {
  readonly #options: WhyOptions;
  readonly #spans: JobSpans;
  readonly #family: FamilyReading;

  constructor(options: WhyOptions) {
    this.#options = options;
    this.#spans = new JobSpans(options);
    this.#family = new FamilyReading({ ...options.family, sessionId: options.sessionId });
  }

  /** Answers with what the session and its family know. */
  async of(row: JobRow): Promise<WhyView> {
    const { sessionId, holders, runnerGoneMs } = this.#options;
    const own = this.#spans.of(row, this.#spans.reading(BOUNDS));
    const records = this.#spans.recordsOf(row, own);
    const nowMs = this.#nowMs(row);
    const [{ others, spans }] = await Promise.all([
      this.#family.read(own, { sinceMs: row.acceptedMs, untilMs: row.endedMs ?? nowMs }),
      row.endedMs === null ? holders.load() : undefined,
    ]);
    const job = jobOf(row, sessionId());
    return why({
      ...{ job, ...records, others, nowMs },
      spans: [...own, ...spans],
      capacityHolders: holders.current,
      runnerGoneMs: row.endedMs === null ? runnerGoneMs(nowMs) : undefined,
    });
  }

  /** Tells another session of the family what it asks. */
  forFamily(request: FamilySpansRequest): FamilySpans {
    const { sessionId, jobs, runnerGoneMs, now } = this.#options;
    return familySpans({ sessionId, jobs, spans: this.#spans, runnerGoneMs: () => runnerGoneMs(now()) }, request);
  }

  #nowMs({ acceptedMs }: JobRow): number {
    return Math.max(this.#options.now(), acceptedMs);
  }
}
