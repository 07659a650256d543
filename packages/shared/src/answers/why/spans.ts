/** What the answer `why` is made from: spans and records as plain data. */
import type { CapacityHolders } from "../../protocol/capacity.ts";
import type { FailureView } from "../../protocol/failure.ts";
import type { TurnRecord } from "../../protocol/session-view.ts";
import type { SessionReading } from "../../protocol/why.ts";
import type { Outcome, Service } from "../../spans.ts";

export type AttributeValue = string | number | boolean;

/** One link of a span. */
export interface WhyLink {
  readonly traceId: string;
  readonly spanId: string;
  /** `valet.link.type`; `null` if the link has none. */
  readonly type: string | null;
}

/** One event of a span. */
export interface WhyEvent {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** One span, open or ended. Times are milliseconds since 1970 with fractions, by the clock of the service. */
export interface WhySpan {
  /** The session whose store holds the span. */
  readonly sessionId: string;
  readonly traceId: string;
  readonly spanId: string;
  /** `null` for a root. The parent may be unknown, or (from a faulty sandbox) a descendant. */
  readonly parentId: string | null;
  readonly name: string;
  /** OTLP's `SpanKind`: `KINDS`. */
  readonly kind: number;
  readonly startMs: number;
  /** `null` while the span is open. */
  readonly endMs: number | null;
  /** `valet.outcome`; `null` while the span is open, and for spans without one. */
  readonly outcome: Outcome | null;
  /** Attributes with a single value; others are left out. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly events: readonly WhyEvent[];
  readonly links: readonly WhyLink[];
  /** Whether the session ended it because its runner was lost. */
  readonly isSealed: boolean;
  /** Whose clock its times are from. `null` if unknown. */
  readonly service: Service | null;
}

/** A message or a workflow, as the session's object has recorded it. Times are milliseconds since 1970, by the object's clock. */
export interface WhyJob {
  readonly sessionId: string;
  /** Of the message, or of the workflow's execution. */
  readonly id: string;
  readonly kind: "message" | "workflow";
  /** `null` if tracing was off. */
  readonly traceId: string | null;
  readonly state: "queued" | "running" | "ended";
  readonly acceptedAtMs: number;
  /** `null` until it has ended. */
  readonly endedAtMs: number | null;
  readonly outcome: Outcome | null;
  /** What it ended with if the outcome is `error` or `lost`. */
  readonly failure: FailureView | null;
  /** The reason of another outcome than `ok`, `error` and `lost`. */
  readonly outcomeReason: string | null;
}

/** What an attempt's model calls come to. */
export type AttemptCost = Pick<
  TurnRecord,
  | "attempt_id"
  | "model"
  | "model_calls"
  | "cost_usd"
  | "calls_without_cost"
  | "tokens_input"
  | "tokens_output"
  | "tokens_cache_read"
  | "tokens_cache_write"
>;

/** What is recorded of a job's attempts. */
export interface WhyRecords {
  /** The attempts that have ended, oldest first. */
  readonly turns: readonly TurnRecord[];
  /** Whether some that have ended are not among them. Absent if not. */
  readonly lacksTurns?: boolean | undefined;
  /** What the attempt that runs has told so far; `null` if it tells nothing before its end. Absent if none runs, or it has done nothing. */
  readonly running?: AttemptCost | null | undefined;
}

/** What another session of the family has told. */
export interface WhyOther {
  readonly sessionId: string;
  readonly reading: SessionReading;
  /** Its jobs that may belong to the answer, oldest first. Their spans are among the input's. */
  readonly jobs: readonly (WhyRecords & Pick<WhyInput, "job" | "runnerGoneMs">)[];
  /** Whether it may have more of them than it tells. Absent if not. */
  readonly lacksJobs?: boolean | undefined;
}

/** Everything that `why` is made from. */
export interface WhyInput extends WhyRecords {
  readonly job: WhyJob;
  /**
   * The spans of the job's trace and, through links, of the traces that it waited for: starts of sandboxes, jobs that occupied its
   * channel, its batch; and the previous turn of its channel, which tells when the provider's cache was last used. Also those of the other
   * sessions' jobs. In any order.
   */
  readonly spans: readonly WhySpan[];
  /** Other sessions of the family that were asked, or should have been. Absent if there are none. */
  readonly others?: readonly WhyOther[];
  /** Who holds the sandboxes for which the session stands in line now. Absent if it does not, or that is not known. */
  readonly capacityHolders?: CapacityHolders | undefined;
  /** When the session's runner was last heard, if the link to it is down: what it does since then is unknown. */
  readonly runnerGoneMs?: number | undefined;
  /** Milliseconds since 1970, by the object's clock. */
  readonly nowMs: number;
}
