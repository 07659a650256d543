/** What the queue is given, what it tells other rooms, and what it asks of the room `workflow`. */
import type { Failure } from "@valet/shared/protocol/failure";
import type { TurnSummary } from "@valet/shared/protocol/runner-link";
import type { ErrorType, MessageSource, Outcome, QueueMode } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { AttemptRow, JobRow, MessageBody, WorkflowBody } from "./job-store.ts";
import type { MessageOrigin, NewAttempt, WorkError } from "./queue-spans.ts";

interface NewEntry {
  readonly id: string;
  readonly channel: string;
  readonly sizeBytes: number;
  /** The request that brought it; without one its trace begins here. */
  readonly parent: SpanContext | undefined;
}

/** A message that is to be queued. */
export interface NewMessage extends NewEntry {
  readonly mode: QueueMode;
  readonly source: MessageSource;
  readonly initial: boolean;
  /** When it may be dispatched: in the mode collect once no others are waited for. */
  readonly notBeforeMs: number;
  readonly body: MessageBody;
  readonly origin?: MessageOrigin | undefined;
}

export interface NewWorkflow extends NewEntry {
  readonly body: WorkflowBody;
}

/** How an attempt ended. */
export interface AttemptEnd {
  readonly outcome: Outcome;
  readonly errorType?: ErrorType | undefined;
  /** What the runner has measured; `null` where it worked and nothing is known of it, absent where it has said nothing. */
  readonly summary?: TurnSummary | null | undefined;
  /** What else is known of why it failed. */
  readonly failure?: Failure | undefined;
}

/** What happened in the queue that has consequences in other rooms. */
export type QueueEvent =
  | {
      readonly type: "attempt-ended";
      readonly attempt: AttemptRow;
      /** Its jobs as they were when it ended. */
      readonly jobs: readonly JobRow[];
      readonly end: AttemptEnd;
    }
  /** A message asks for the work under way in its channel to be stopped. */
  | { readonly type: "steered"; readonly channel: string; readonly cause: SpanContext }
  /** The session's parent waits for the outcome of a message. */
  | { readonly type: "parent-waits"; readonly messageId: string };

/** What the queue asks about workflows; how far one has come is known to the room `workflow`. */
export interface WorkflowProgress {
  /** Begins an attempt of the workflow. @returns the step to begin with */
  begin(executionId: string): number;
  /** What becomes of a workflow whose runner was lost: all its steps were done, it is tried again, or it ends there. */
  afterLoss(executionId: string, isSandboxGone: boolean): "done" | "again" | "over";
  /** How a workflow ended that came to its end. */
  outcome(executionId: string): {
    readonly outcome: "ok" | "error";
    readonly errorType: WorkError | undefined;
    readonly failure?: Failure;
  };
  /** Ends the workflow. @returns how many of its steps failed */
  end(executionId: string, outcome: Outcome, errorType: ErrorType | undefined): number;
}

/** An attempt that has just begun. */
export interface BegunAttempt {
  readonly attempt: NewAttempt;
  /** A workflow, a message, or several messages that are a collected batch. */
  readonly jobs: readonly [JobRow, ...JobRow[]];
  /** Of the dispatch's span. */
  readonly context: SpanContext;
  /** Of a workflow: the step to begin with. */
  readonly firstStep: number;
}
