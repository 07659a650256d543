/** What a session, its messages and its turns look like from outside: in the HTTP API and on clients' sockets alike. */
import { z } from "zod";
import {
  ERROR_TYPES,
  FAILURE_POLICIES,
  FAILURE_TYPES,
  MESSAGE_SOURCES,
  OUTCOME_REASONS,
  OUTCOMES,
  PERMISSION_REPLIES,
  QUEUE_MODES,
  QUEUE_REASONS,
  SANDBOX_DRIVERS,
  STEP_TYPES,
} from "../spans.ts";
import { FailureView } from "./failure.ts";
import { MessagePart } from "./message-part.ts";
import { AgentQuestion } from "./runner-link.ts";
import { WarningView } from "./warnings.ts";

const time = z.iso.datetime();
const count = z.int().nonnegative();
const amount = z.number().nonnegative();
const millis = amount;

/** `running` says nothing of work: a session is busy while an attempt is in flight. */
export const SessionStatus = z.enum([
  "created",
  "starting",
  "running",
  "hibernating",
  "hibernated",
  "restoring",
  /** The sandbox was lost, and the next attempt to have one is near. */
  "recovering",
  "terminating",
  "terminated",
  "error",
]);
export type SessionStatus = z.infer<typeof SessionStatus>;

/** A request for leave that the agent waits on. */
export const PermissionView = z.object({
  id: z.string(),
  /** The message or workflow that it is asked for. */
  messageId: z.string(),
  /** What it asks leave for: `bash`, `edit`, … */
  permission: z.string(),
  /** What exactly. */
  detail: z.string(),
  askedAt: time,
});
export type PermissionView = z.infer<typeof PermissionView>;

/** Questions that the agent waits to have answered. */
export const QuestionView = z.object({
  id: z.string(),
  /** The message or workflow that it is asked for. */
  messageId: z.string(),
  questions: z.array(AgentQuestion),
  askedAt: time,
});
export type QuestionView = z.infer<typeof QuestionView>;

/** Spans of a session that do not reach the backend. */
export const ExportProblemView = z.object({
  /** Of the first attempt that failed, or of when the oldest span that waits could have been sent. */
  since: time,
  /** Why the last attempt failed: `HTTP` and a status, `web page`, `timeout`, another code; `waiting` where none has. */
  reason: z.string(),
  waitingSpans: count,
  /** The session tries no more by itself: it goes on with its next span, or when it is asked to. */
  stopped: z.boolean(),
});
export type ExportProblemView = z.infer<typeof ExportProblemView>;

export const SessionView = z.object({
  id: z.string(),
  status: SessionStatus,
  /** Why the status is `error`. */
  errorType: z.enum(FAILURE_TYPES).optional(),
  /** What happened and what to do; also while it recovers, of the starts that have failed by then. */
  failure: FailureView.optional(),
  title: z.string().optional(),
  /** Without credentials. */
  repoUrl: z.string().optional(),
  branch: z.string().optional(),
  ref: z.string().optional(),
  /** Whether all of the repository's configuration of the agent counts; absent where only its text does. */
  trustRepositoryConfig: z.boolean().optional(),
  model: z.string().optional(),
  models: z.array(z.string()),
  queueMode: z.enum(QUEUE_MODES),
  idleTimeoutMs: millis,
  parentSessionId: z.string().optional(),
  /**
   * Why a session that was to hibernate is still awake: no snapshot could be taken, and without one its files would be lost. It is
   * tried again at `retryAt`, and each time it is asked to.
   */
  sleepProblem: z
    .object({
      errorType: z.enum(ERROR_TYPES),
      /** The broker's own sentence. */
      detail: z.string().optional(),
      /** How often it has failed in a row, and since when. */
      failures: count,
      since: time,
      retryAt: time,
    })
    .optional(),
  /** What is amiss though the session goes on: of its files and its agent, in this generation. Absent where nothing is. */
  warnings: z.array(WarningView).optional(),
  sandbox: z.object({ id: z.string(), driver: z.enum(SANDBOX_DRIVERS) }).optional(),
  /** What the agent does: `none` where there is no sandbox, `disconnected` where its runner is not there. */
  agent: z.enum(["none", "starting", "idle", "busy", "disconnected"]),
  /** Messages and workflows that wait. */
  queueLength: count,
  /** Its place among the sessions that wait for a sandbox, from 1; only while it waits. */
  capacityPlace: z.int().positive().optional(),
  /** Counts the session's sandboxes. */
  generation: count,
  permissions: z.array(PermissionView),
  questions: z.array(QuestionView),
  /** Where spans have not reached the backend for over a minute; absent while they do. */
  exportProblem: ExportProblemView.optional(),
  createdAt: time,
  updatedAt: time,
});
export type SessionView = z.infer<typeof SessionView>;

export const MessageView = z.object({
  id: z.string(),
  status: z.enum(["queued", "dispatched", "accepted", "done"]),
  /** With the status `done`. */
  outcome: z.enum(OUTCOMES).optional(),
  /** Where the outcome is `error` or `lost`. */
  errorType: z.enum(FAILURE_TYPES).optional(),
  /** Where it is another. */
  outcomeReason: z.enum(OUTCOME_REASONS).optional(),
  /** With `errorType`: what happened and what to do. */
  failure: FailureView.optional(),
  channel: z.string(),
  queueMode: z.enum(QUEUE_MODES),
  source: z.enum(MESSAGE_SOURCES),
  /** What it waits for, or waited for last. */
  queueReason: z.enum(QUEUE_REASONS).optional(),
  /** With the reason `capacity`: the session's place among those that wait for a sandbox, from 1. */
  capacityPlace: z.int().positive().optional(),
  content: z.string(),
  author: z.object({ id: z.string(), name: z.string().optional() }).optional(),
  attachments: z.array(z.object({ filename: z.string(), mediaType: z.string() })),
  threadId: z.string().optional(),
  replyChannel: z.string().optional(),
  model: z.string().optional(),
  /** Attempts to have it worked on. */
  attempts: count,
  /** Absent where nothing is traced. */
  traceId: z.string().optional(),
  acceptedAt: time,
  dispatchedAt: time.optional(),
  endedAt: time.optional(),
  /** The agent's answer; that to a batch is with the batch's last message. */
  parts: z.array(MessagePart),
});
export type MessageView = z.infer<typeof MessageView>;

export const WorkflowStepView = z.object({
  name: z.string(),
  type: z.enum(STEP_TYPES),
  status: z.enum(["waiting", "running", "done"]),
  /** With the status `done`; `skipped` where the workflow ended before it came to the step. */
  outcome: z.enum(OUTCOMES).optional(),
  errorType: z.enum(FAILURE_TYPES).optional(),
  outcomeReason: z.enum(OUTCOME_REASONS).optional(),
  /** With `errorType`: what happened and what to do. */
  failure: FailureView.optional(),
  /** Of a command that ended by itself. */
  exitCode: z.int().optional(),
  /** Of a command that a signal killed: its name, `SIGKILL` say. */
  signal: z.string().optional(),
  duration_ms: millis.optional(),
  /** The agent's answer, or the end of what the command wrote; not in lists. */
  output: z.string().optional(),
});
export type WorkflowStepView = z.infer<typeof WorkflowStepView>;

/** One execution of a workflow. */
export const WorkflowView = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(["queued", "dispatched", "accepted", "done"]),
  /** With the status `done`. */
  outcome: z.enum(OUTCOMES).optional(),
  errorType: z.enum(FAILURE_TYPES).optional(),
  outcomeReason: z.enum(OUTCOME_REASONS).optional(),
  /** With `errorType`: what happened and what to do. */
  failure: FailureView.optional(),
  onFailure: z.enum(FAILURE_POLICIES),
  channel: z.string(),
  /** What it waits for, or waited for last. */
  queueReason: z.enum(QUEUE_REASONS).optional(),
  /** With the reason `capacity`: the session's place among those that wait for a sandbox, from 1. */
  capacityPlace: z.int().positive().optional(),
  /** Attempts to have it executed. */
  attempts: count,
  /** Absent where nothing is traced. */
  traceId: z.string().optional(),
  acceptedAt: time,
  dispatchedAt: time.optional(),
  endedAt: time.optional(),
  steps: z.array(WorkflowStepView),
});
export type WorkflowView = z.infer<typeof WorkflowView>;

/**
 * One turn, or one attempt at a workflow, in one wide record. Boundaries are read on the SessionAgent's clock; what happens inside are durations that the
 * runner measured. Names are those of the database's columns.
 */
export const TurnRecord = z.object({
  attempt_id: z.string(),
  session_id: z.string(),
  /** Several after a collect; of a workflow its execution. */
  message_ids: z.array(z.string()),
  trace_id: z.string(),
  channel: z.string(),
  generation: count,
  attempt: count,
  model: z.string().nullable(),
  outcome: z.enum(OUTCOMES),
  /** Only where the outcome is `error` or `lost`. */
  error_type: z.enum(FAILURE_TYPES).nullable(),
  /** Why the outcome is none of `ok`, `error` and `lost`. Turns recorded by older versions have none. */
  outcome_reason: z.enum(OUTCOME_REASONS).nullable().default(null),
  /** What lies behind the error: why the last model failed, or the first step. Turns recorded by older versions have none. */
  error_cause: z.enum(ERROR_TYPES).nullable().default(null),
  accepted_at: time,
  dispatched_at: time,
  ended_at: time,
  /** From acceptance, or from being taken back, to dispatch; in a batch, of the one that waited longest. */
  queue_wait_ms: millis,
  queue_reasons: z.array(z.enum(QUEUE_REASONS)),
  /** Of the wait: until the broker had made the sandbox. */
  sandbox_ms: millis,
  /** Of the wait: from there until the runner was ready. */
  bootstrap_ms: millis,
  /** From dispatch to the end. */
  turn_ms: millis,
  /** From the start of the first model call that answered to its first token. */
  time_to_first_token_ms: millis.nullable(),
  // What follows is `null` where nothing is known of the work: its runner was lost, or did not end it in time.
  /** Until a model was first called: what the agent does before that. */
  prepare_ms: millis.nullable(),
  model_ms: millis.nullable(),
  tool_ms: millis.nullable(),
  permission_wait_ms: millis.nullable(),
  model_calls: count.nullable(),
  tool_calls: count.nullable(),
  tool_errors: count.nullable(),
  retries: count.nullable(),
  /** Of the model calls of which it is known, as all the tokens; `null` where it is known of none. */
  tokens_input: amount.nullable(),
  tokens_output: amount.nullable(),
  tokens_cache_read: amount.nullable(),
  tokens_cache_write: amount.nullable(),
  tokens_reasoning: amount.nullable(),
  /** Of the model calls of which it is known; `null` where no price is known. */
  cost_usd: amount.nullable(),
  /** Model calls that may have been charged and are not in the tokens: with any, those are the least that was used. */
  calls_without_usage: count.nullable(),
  /** Those that are not in the cost, likewise. */
  calls_without_cost: count.nullable(),
  /** Those of which the provider counted a part (cached, reasoning) as larger than its whole. */
  calls_with_odd_usage: count.nullable(),
});
export type TurnRecord = z.infer<typeof TurnRecord>;

export const PermissionReply = z.enum(PERMISSION_REPLIES);
export type PermissionReply = z.infer<typeof PermissionReply>;
