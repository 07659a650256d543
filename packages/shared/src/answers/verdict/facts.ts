/** What a verdict is made from: plain data that the session's object reads. Times are epoch ms of the object's clock. */
import type { CapacityHolders } from "../../protocol/capacity.ts";
import type { SessionStatus } from "../../protocol/session-view.ts";
import type { FailureType, QueueReason, SandboxStage } from "../../spans.ts";
import type { Typical } from "./durations.ts";

/** What a step of running work waits for. */
export type StepKind =
  | "model"
  | "tool"
  /** The pause before a model call is tried again. */
  | "retry"
  /** The agent prepares before its first model call. */
  | "prepare"
  /** The agent summarizes its context. */
  | "compaction"
  /** OpenCode starts, or does not respond. */
  | "agent"
  /** The runner reads and reports the answer. */
  | "finalize"
  /** A command of a workflow. */
  | "command"
  /** A person's permission or answer. */
  | "person";

/** A step of running work that is open and has no open step below it. */
export interface Step {
  readonly kind: StepKind;
  /** The tool, the model, the workflow's step; empty for the other kinds. */
  readonly name: string;
  readonly sinceMs: number;
  /** When the model was last asked, by this or by another try; `null` if that is unknown, or for other kinds. */
  readonly askedMs: number | null;
  /** When it was last heard: output of the tool, a part of the answer of the model's last try. `null`: not yet. */
  readonly heardMs: number | null;
  /** When the provider last sent anything at all, such as a comment that keeps its connection open; `null` if never. */
  readonly byteMs: number | null;
  /** How long it may take by its own limit; `null` if it has none. */
  readonly timeoutMs: number | null;
  /** The error type of the model's try before the pause; `null` if it is unknown, or for other kinds. */
  readonly afterError: string | null;
  /** How long such steps take. */
  readonly typical: Typical;
}

/** An attempt in flight. */
export interface Run {
  readonly kind: "message" | "workflow";
  readonly jobId: string;
  readonly channel: string;
  readonly state: "dispatched" | "accepted";
  readonly dispatchedMs: number;
  /** When the runner last said anything about it; at the latest when the runner accepted it. */
  readonly signMs: number;
  /** Whether its agent has an open request to a person. */
  readonly isWaitingForPerson: boolean;
  /** Whether it is being stopped. */
  readonly isStopping: boolean;
  readonly steps: readonly Step[];
}

/** An open request of the agent to a person. */
export interface PersonRequest {
  readonly kind: "permission" | "question";
  readonly id: string;
  readonly askedMs: number;
  /** The question, or what the permission is for. */
  readonly text: string;
  /** The number of questions; 1 for a permission. */
  readonly count: number;
}

/** What has failed. */
export interface FactFailure {
  /** The job that failed last; `null` if the session has no sandbox for an error. */
  readonly job: { readonly kind: "message" | "workflow"; readonly id: string } | null;
  readonly type: string;
  /** The first cause, where it is another type. */
  readonly cause?: string | undefined;
  readonly sinceMs: number;
  /** Sentences: what happened, and what to do. They follow the names of the type and the cause, and do not repeat them. */
  readonly message: string;
}

/** The limits in ms, as this deployment sets them. */
export interface VerdictLimits {
  readonly linkSilenceMs: number;
  readonly heartbeatMs: number;
  readonly graceMs: number;
  readonly acceptMs: number;
  readonly stuckTurnMs: number;
  readonly maxTurnMs: number;
  readonly providerSilenceMs: number;
}

export interface SessionFacts {
  readonly sessionId: string;
  readonly status: SessionStatus;
  /** When the status was entered. */
  readonly statusMs: number;
  readonly failure: FactFailure | null;
  readonly requests: readonly PersonRequest[];
  readonly runs: readonly Run[];
  /** The jobs that wait; `null` if there are none. */
  readonly queue: { readonly count: number; readonly sinceMs: number; readonly reason: QueueReason | null } | null;
  /** The current start, hibernate or end of the sandbox; `null` if there is none. */
  readonly operation: {
    readonly kind: "spawn" | "restore" | "hibernate" | "terminate";
    readonly sinceMs: number;
    /** Its deadline; `null` if it has none, or stands in line. */
    readonly dueMs: number | null;
    readonly stage: SandboxStage | null;
    /** What the runner does in the start, such as `git clone`; empty if that is unknown. */
    readonly doing: string;
  } | null;
  /** Whether the session stands in line for a sandbox, and its place; `null` if it does not. */
  readonly line: {
    readonly sinceMs: number;
    readonly place: number | null;
    /** Who holds what it waits for; absent if that is not known. */
    readonly holders?: CapacityHolders | undefined;
  } | null;
  /** The link to the runner; `null` while no runner is expected. */
  readonly link: { readonly isUp: boolean; readonly heardMs: number } | null;
  /** Why the session cannot hibernate, and when that is tried again; `null` if nothing prevents it. */
  readonly sleepProblem: {
    readonly type: FailureType;
    readonly detail?: string | undefined;
    /** When it failed first. */
    readonly sinceMs: number;
    /** When it is tried again; `null` if no time is set, as while it is being tried. */
    readonly retryMs: number | null;
  } | null;
  /** When a person last answered the agent, from when silence counts again; 0 if never. */
  readonly answeredMs: number;
  /** Whether steps are known: with tracing off they are not. */
  readonly knowsSteps: boolean;
  readonly limits: VerdictLimits;
}
