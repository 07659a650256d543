/** What the queue accepts, which events it records for other rooms, and what it asks the room `workflow`. */
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import type { Failure } from "@valet/shared/protocol/failure";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { ErrorType, MessageSource, Outcome, QueueMode } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { Asker } from "../core/asker.ts";
import type { AttemptRow, JobRow, MessageBody, WorkflowBody } from "./job-store.ts";
import type { MessageOrigin, NewAttempt, NewJob, WorkError } from "./queue-spans.ts";

interface NewEntry extends NewJob {
  readonly id: string;
  readonly channel: string;
  readonly sizeBytes: number;
  /** The span of the request that sent it; without one, its trace begins here. */
  readonly parent: SpanContext | undefined;
}

/** A message to be queued. */
export interface NewMessage extends NewEntry {
  readonly mode: QueueMode;
  readonly source: MessageSource;
  readonly initial: boolean;
  /** When it may be dispatched, epoch ms: in the mode `collect`, after the debounce. */
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
  /** What the runner measured; `null` if it worked and nothing is known about it, absent if it reported nothing. */
  readonly summary?: TurnSummary | null | undefined;
  /** Whether the runner told the summary during the work, and nothing at its end. */
  readonly isSummarySoFar?: boolean;
  /** Further details of a failure. */
  readonly failure?: Failure | undefined;
  /** How long its model calls and tools took, if the runner reported that. */
  readonly stepDurations?: readonly StepDurations[] | undefined;
}

/** An event in the queue that has consequences in other rooms. */
export type QueueEvent =
  | {
      readonly type: "attempt-ended";
      readonly attempt: AttemptRow;
      /** Its jobs, as they were when it ended. */
      readonly jobs: readonly JobRow[];
      readonly end: AttemptEnd;
    }
  /** A job has ended, with or without an attempt. */
  | {
      readonly type: "job-ended";
      readonly job: Pick<JobRow, "id" | "kind">;
      readonly outcome: Outcome;
      readonly errorType: ErrorType | undefined;
      readonly failure: Failure | null;
    }
  /** A message in the mode `steer` asks to stop the current work in its channel. */
  | { readonly type: "steered"; readonly channel: string; readonly asker: Asker }
  /** The session's parent wants a report of the outcome of a message. */
  | { readonly type: "parent-waits"; readonly messageId: string };

/** What the queue asks the room `workflow`, which knows the progress of each workflow. */
export interface WorkflowProgress {
  /** Begins an attempt of the workflow. @returns the step to begin with */
  begin(executionId: string): number;
  /** Ends the step that was running when the runner was lost. */
  lose(executionId: string): void;
  /** Decides about a workflow whose runner was lost: it is `done`, runs `again`, or is `over` as a failure. */
  afterLoss(executionId: string, isSandboxGone: boolean): "done" | "again" | "over";
  /** Returns the outcome of a workflow that has run to its end. */
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
  /** The context of its dispatch span. */
  readonly context: SpanContext;
  /** For a workflow, the step to begin with. */
  readonly firstStep: number;
}
