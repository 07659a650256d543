/** What a session, its messages and its turns look like from outside, in the HTTP API and on clients' sockets. */
import { z } from "zod";
import {
  CHANGES_UNKNOWN,
  DELETE_REASONS,
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
import { AgentQuestion } from "./agent-question.ts";
import { AskBefore } from "./ask-before.ts";
import { FailureView } from "./failure.ts";
import { MessagePart } from "./message-part.ts";
import { VerdictView } from "./verdict.ts";
import { WarningView } from "./warnings.ts";

const time = z.iso.datetime();
const count = z.int().nonnegative();
const amount = z.number().nonnegative();
const millis = amount;

/** `running` does not mean that the agent works: `agent` says that. */
export const SessionStatus = z.enum([
  "created",
  "starting",
  "running",
  "hibernating",
  "hibernated",
  "restoring",
  /** The sandbox was lost, and a new one will be started soon. */
  "recovering",
  "terminating",
  "terminated",
  "error",
]);
export type SessionStatus = z.infer<typeof SessionStatus>;

/** An open permission request of the agent. */
export const PermissionView = z.object({
  id: z.string(),
  /** The message or workflow that the request belongs to. */
  messageId: z.string(),
  /** The kind of permission: `bash`, `edit`, … */
  permission: z.string(),
  /** The exact action, for example the command. Empty in lists of sessions, unless content is captured. */
  detail: z.string(),
  askedAt: time,
});
export type PermissionView = z.infer<typeof PermissionView>;

/** Open questions of the agent. Lists of sessions have their number, and not their texts, unless content is captured. */
export const QuestionView = z.object({
  id: z.string(),
  /** The message or workflow that the request belongs to. */
  messageId: z.string(),
  questions: z.array(AgentQuestion),
  askedAt: time,
});
export type QuestionView = z.infer<typeof QuestionView>;

/** A session's spans do not reach the backend. */
export const ExportProblemView = z.object({
  /** Time of the first failed attempt, or since when the oldest waiting span could have been sent. */
  since: time,
  /**
   * Why the last attempt failed: `HTTP` and a status, `web page`, `timeout`, another code; `waiting` when none has
   * failed.
   */
  reason: z.string(),
  waitingSpans: count,
  /** The session has stopped retrying: it sends again with its next span, or on `resend`. */
  stopped: z.boolean(),
});
export type ExportProblemView = z.infer<typeof ExportProblemView>;

export const SessionView = z.object({
  id: z.string(),
  status: SessionStatus,
  /** Why the status is `error`. */
  errorType: z.enum(FAILURE_TYPES).optional(),
  /** What happened and what to do. Also set while the session recovers, for the starts that failed so far. */
  failure: FailureView.optional(),
  title: z.string().optional(),
  /** The URL without credentials. */
  repoUrl: z.string().optional(),
  branch: z.string().optional(),
  ref: z.string().optional(),
  /** Whether the repository's complete OpenCode configuration is used; absent when only its text is. */
  trustRepositoryConfig: z.boolean().optional(),
  /** Whether programs of commands send their traces to the session; absent if the deployment decides. */
  agentOtlp: z.boolean().optional(),
  /** What the agent asks a person for before it does it; absent if nothing. */
  askBefore: AskBefore.optional(),
  model: z.string().optional(),
  models: z.array(z.string()),
  queueMode: z.enum(QUEUE_MODES),
  idleTimeoutMs: millis,
  parentSessionId: z.string().optional(),
  /** For whom the session was created: the owner of the token, or the `user` of the request. */
  userId: z.string().optional(),
  /** The user who terminated the session; absent if no person did. */
  terminatedBy: z.string().optional(),
  /**
   * Why a session that was to hibernate is still awake: the snapshot failed, and without it the files would be lost. It
   * is retried at `retryAt`, and on each request to hibernate, during which it is absent. Without `retryAt` it is being
   * retried, or is retried when the session has been idle for its idle timeout.
   */
  sleepProblem: z
    .object({
      errorType: z.enum(ERROR_TYPES),
      /** The broker's own message. */
      detail: z.string().optional(),
      /** How often in a row the snapshot has failed, and since when. */
      failures: count,
      since: time,
      retryAt: time.optional(),
    })
    .optional(),
  /**
   * Problems that do not stop the session: with its files or its agent, in this generation. Absent when there are none.
   */
  warnings: z.array(WarningView).optional(),
  sandbox: z.object({ id: z.string(), driver: z.enum(SANDBOX_DRIVERS) }).optional(),
  /** What the agent does: `none` without a sandbox, `disconnected` without a link to its runner. */
  agent: z.enum(["none", "starting", "idle", "busy", "disconnected"]),
  /** Number of queued messages and workflows. */
  queueLength: count,
  /** The session's place in the line for a sandbox, from 1; absent while it does not wait for one. */
  capacityPlace: z.int().positive().optional(),
  /** The number of sandboxes that the session has had. */
  generation: count,
  permissions: z.array(PermissionView),
  questions: z.array(QuestionView),
  /**
   * Set while the session needs attention: the verdict on it when this view was made. In lists it does not quote what is asked, unless
   * content is captured.
   */
  attention: VerdictView.optional(),
  /** Set when spans have not reached the backend for over a minute. */
  exportProblem: ExportProblemView.optional(),
  /** Set while the session is being deleted; afterwards every request is answered with 410. */
  deletion: z.object({ since: time, reason: z.enum(DELETE_REASONS) }).optional(),
  createdAt: time,
  updatedAt: time.describe(
    "When something last happened: a message or workflow was accepted, a turn ended, or the session or its sandbox changed",
  ),
});
export type SessionView = z.infer<typeof SessionView>;

export const MessageView = z.object({
  id: z.string(),
  status: z.enum(["queued", "dispatched", "accepted", "done"]),
  /** Set with the status `done`. */
  outcome: z.enum(OUTCOMES).optional(),
  /** Set with the outcomes `error` and `lost`. */
  errorType: z.enum(FAILURE_TYPES).optional(),
  /** Set with other outcomes than `ok`, `error` and `lost`. */
  outcomeReason: z.enum(OUTCOME_REASONS).optional(),
  /** Set with `errorType`: what happened and what to do. */
  failure: FailureView.optional(),
  /** For whom the message was sent. */
  userId: z.string().optional(),
  /** The user who ended it early: who aborted or withdrew it, terminated the session, or sent the message that took its place. */
  abortedBy: z.string().optional(),
  channel: z.string(),
  queueMode: z.enum(QUEUE_MODES),
  source: z.enum(MESSAGE_SOURCES),
  /** What it waits for, or last waited for. */
  queueReason: z.enum(QUEUE_REASONS).optional(),
  /** Set with the reason `capacity`: the session's place in the line for a sandbox, from 1. */
  capacityPlace: z.int().positive().optional(),
  content: z.string(),
  author: z.object({ id: z.string(), name: z.string().optional() }).optional(),
  attachments: z.array(z.object({ filename: z.string(), mediaType: z.string() })),
  threadId: z.string().optional(),
  replyChannel: z.string().optional(),
  model: z.string().optional(),
  /** Number of attempts to run it. */
  attempts: count,
  /** Absent when tracing is off. */
  traceId: z.string().optional(),
  acceptedAt: time,
  dispatchedAt: time.optional(),
  endedAt: time.optional(),
  /** The agent's answer; the answer to a batch is in the batch's last message. */
  parts: z.array(MessagePart),
});
export type MessageView = z.infer<typeof MessageView>;

export const WorkflowStepView = z.object({
  name: z.string(),
  type: z.enum(STEP_TYPES),
  status: z.enum(["waiting", "running", "done"]),
  /** Set with the status `done`; `skipped` when the workflow ended before the step. */
  outcome: z.enum(OUTCOMES).optional(),
  errorType: z.enum(FAILURE_TYPES).optional(),
  outcomeReason: z.enum(OUTCOME_REASONS).optional(),
  /** Set with `errorType`: what happened and what to do. */
  failure: FailureView.optional(),
  /** The command's exit code. */
  exitCode: z.int().optional(),
  /** The name of the signal that killed the command, for example `SIGKILL`. */
  signal: z.string().optional(),
  duration_ms: millis.optional(),
  /** The agent's answer, or the end of the command's output; absent in lists. */
  output: z.string().optional(),
});
export type WorkflowStepView = z.infer<typeof WorkflowStepView>;

/** One execution of a workflow. */
export const WorkflowView = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(["queued", "dispatched", "accepted", "done"]),
  /** Set with the status `done`. */
  outcome: z.enum(OUTCOMES).optional(),
  errorType: z.enum(FAILURE_TYPES).optional(),
  outcomeReason: z.enum(OUTCOME_REASONS).optional(),
  /** Set with `errorType`: what happened and what to do. */
  failure: FailureView.optional(),
  /** For whom the workflow was started. */
  userId: z.string().optional(),
  /** The user who ended it early: who aborted or withdrew it, or terminated the session. */
  abortedBy: z.string().optional(),
  onFailure: z.enum(FAILURE_POLICIES),
  channel: z.string(),
  /** What it waits for, or last waited for. */
  queueReason: z.enum(QUEUE_REASONS).optional(),
  /** Set with the reason `capacity`: the session's place in the line for a sandbox, from 1. */
  capacityPlace: z.int().positive().optional(),
  /** Number of attempts to run it. */
  attempts: count,
  /** Absent when tracing is off. */
  traceId: z.string().optional(),
  acceptedAt: time,
  dispatchedAt: time.optional(),
  endedAt: time.optional(),
  steps: z.array(WorkflowStepView),
});
export type WorkflowView = z.infer<typeof WorkflowView>;

/**
 * One turn, or one attempt of a workflow, as one wide record. Its start and end are read from the SessionAgent's clock;
 * the durations in between are measured by the runner. Field names are those of the database's columns.
 */
export const TurnRecord = z.object({
  attempt_id: z.string(),
  session_id: z.string(),
  /** Several for a `collect` batch; the execution's id for a workflow. */
  message_ids: z.array(z.string()),
  trace_id: z.string(),
  channel: z.string(),
  generation: count,
  attempt: count,
  model: z.string().nullable(),
  outcome: z.enum(OUTCOMES),
  /** Set with the outcomes `error` and `lost` only. */
  error_type: z.enum(FAILURE_TYPES).nullable(),
  /** The reason of outcomes other than `ok`, `error` and `lost`. Older versions did not record it. */
  outcome_reason: z.enum(OUTCOME_REASONS).nullable().default(null),
  /**
   * The first cause, behind the error: why the last model failed, or the error of the first failed step. Older versions did
   * not record it.
   */
  error_cause: z.enum(ERROR_TYPES).nullable().default(null),
  accepted_at: time,
  dispatched_at: time,
  ended_at: time,
  /**
   * From acceptance, or from the return to the queue, to dispatch; for a batch, that of the message that waited
   * longest.
   */
  queue_wait_ms: millis,
  queue_reasons: z.array(z.enum(QUEUE_REASONS)),
  /** Part of the wait: until the broker had created the sandbox. */
  sandbox_ms: millis,
  /** Part of the wait: from then until the runner was ready. */
  bootstrap_ms: millis,
  /** From dispatch to the end. */
  turn_ms: millis,
  /** From the start of the first answered model call to its first token. */
  time_to_first_token_ms: millis.nullable(),
  // The following fields are `null` when the runner was lost, or did not end the work in time: the counts, tokens and costs only if it
  // had told nothing of them before.
  /** The agent's preparation before the first model call. */
  prepare_ms: millis.nullable(),
  model_ms: millis.nullable(),
  tool_ms: millis.nullable(),
  permission_wait_ms: millis.nullable(),
  /** A call that was retried is one. */
  model_calls: count.nullable(),
  tool_calls: count.nullable(),
  tool_errors: count.nullable(),
  /** Tries of model calls after each call's first. */
  retries: count.nullable(),
  /**
   * Processor time that the sandbox's agent and commands used while the turn ran, those of other work at the same time included. Older
   * versions did not record it, like the next two.
   */
  cpu_ms: millis.nullable().default(null),
  /** The most memory that they had at once, without cached files. */
  memory_peak_bytes: count.nullable().default(null),
  /** What they wrote to files on disks. */
  disk_written_bytes: count.nullable().default(null),
  /** Sum over the model calls whose usage is known, also in part, like all token counts; `null` when none is known. */
  tokens_input: amount.nullable(),
  tokens_output: amount.nullable(),
  tokens_cache_read: amount.nullable(),
  tokens_cache_write: amount.nullable(),
  tokens_reasoning: amount.nullable(),
  /** Sum over the model calls whose cost is known, also in part; `null` when none is known. */
  cost_usd: amount.nullable(),
  /** Model calls that may have been charged but are not, or not wholly, included in the tokens, which are then a lower bound. */
  calls_without_usage: count.nullable(),
  /**
   * Model calls that may have been charged but are not, or not wholly, included in the cost, which is then a lower bound. What a runner
   * did after it last told something, and died, counts as one of them, here and above.
   */
  calls_without_cost: count.nullable(),
  /** Model calls for which the provider reported impossible figures, for example a part (cached, reasoning) larger than the whole. */
  calls_with_odd_usage: count.nullable(),
  // Older versions did not record the following fields: they are `null` then.
  /** For whom the turn worked; for a batch, the user of its first message. */
  user_id: z.string().nullable().default(null),
  /** The canonical URL of the session's repository, without credentials; `null` without a repository, too. */
  repository: z.string().nullable().default(null),
  /** The branch, or else the ref, that the session was created with; `null` for the repository's default branch, too. */
  branch: z.string().nullable().default(null),
  /** `null` for a session without a parent, too. */
  parent_session_id: z.string().nullable().default(null),
  /** The trace of the message or workflow; for a batch, which has a trace of its own, that of its first message. */
  message_trace_id: z.string().nullable().default(null),
  /** The user who ended the turn early; `null` if nobody did. */
  aborted_by: z.string().nullable().default(null),
  /** The users who answered the agent's requests in this turn, each once; `null` if nobody did. */
  answered_by: z.array(z.string()).nullable().default(null),
  /** The tools that it used, as far as their calls ended, each once and at most 40; `null` if they are unknown. */
  tools: z.array(z.string()).nullable().default(null),
  // What it changed in the workspace, which is known a moment after its end, or never: then `changes_unknown` may say why.
  /** Commits that HEAD reaches after the turn and did not before. Older versions did not record these fields. */
  commits: count.nullable().default(null),
  files_changed: count.nullable().default(null),
  /** In text files of at most 1 MiB. */
  lines_added: count.nullable().default(null),
  lines_removed: count.nullable().default(null),
  /** The branch after the turn; `null` also for a detached HEAD. */
  head_branch: z.string().nullable().default(null),
  /** The commit after the turn. */
  head_revision: z.string().nullable().default(null),
  changes_unknown: z.enum(CHANGES_UNKNOWN).nullable().default(null),
});
export type TurnRecord = z.infer<typeof TurnRecord>;

export const PermissionReply = z.enum(PERMISSION_REPLIES);
export type PermissionReply = z.infer<typeof PermissionReply>;
