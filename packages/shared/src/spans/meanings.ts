import type { Outcome } from "./outcomes.ts";
import type * as values from "./values.ts";

/**
 * The meanings of the closed lists of values, for the specification's tables. It does not compile if a value is missing. Code
 * that emits spans does not need it.
 */

export const OUTCOME_MEANINGS: Record<Outcome, string> = {
  ok: "The operation succeeded.",
  error: "The operation failed.",
  aborted: "A person, or the session's lifecycle, ended the operation.",
  superseded: "Something newer replaced the operation.",
  skipped: "There was nothing to do, or nothing any more.",
  lost: "The process that had the span open is gone. Valet sealed the span, at the last sign of life or later.",
};

export const LINK_MEANINGS: Record<values.LinkType, string> = {
  caused_by: "to what caused it or ended it: a request, a message, another session's report",
  waited_on: "to what a message waited for: a turn, a spawn, a restore, a hibernate",
  collected: "from a batch's dispatch to each message of the batch",
  spawned_by: "from a child session's first message to the tool call that spawned the session",
  follows: "to its predecessor: the lost attempt, the hibernate that took the snapshot",
};

export const QUEUE_MODE_MEANINGS: Record<values.QueueMode, string> = {
  followup: "waits until the jobs before it have ended",
  steer: "aborts the running job of its channel and runs next",
  collect: "waits for further messages and is dispatched with them as one batch",
};

export const QUEUE_REASON_MEANINGS: Record<values.QueueReason, string> = {
  immediate: "nothing: it was dispatched when it was accepted",
  runner_busy: "the end of a turn in the same channel",
  sandbox_starting: "a spawn",
  sandbox_hibernated: "a restore of the hibernated session, or first the end of a running hibernate",
  sandbox_restoring: "a restore",
  runner_disconnected: "the runner to reconnect",
  collect_debounce: "the batch to close",
  initial_prompt: "the first start of the session, which was created with this message",
  capacity: "the end of another session's sandbox, since the limit on running sandboxes is reached",
  system_message: "the end of a turn in the same channel, as a message from the system that no person waits for",
};

export const WAKE_REASON_MEANINGS: Record<values.SpawnReason | values.RestoreReason, string> = {
  session_created: "the session is new",
  message_waiting: "a message or workflow needs it",
  requested: "a person requested it",
  recovery: "the sandbox or its runner was lost, or the broker was unavailable at the session's first start",
};

export const HIBERNATE_REASON_MEANINGS: Record<values.HibernateReason, string> = {
  idle_timeout: "the session was idle for its idle timeout",
  requested: "a person requested it",
  capacity: "the session had been idle for longer than others, and another session waited for a sandbox",
  sandbox_stopped: "the sandbox had stopped, with its host or by itself; a snapshot keeps its files",
  runner_lost: "the runner was lost; a snapshot keeps the sandbox's files",
  retry: "an earlier hibernate could not take a snapshot",
};

export const STAGE_MEANINGS: Record<values.SandboxStage, string> = {
  requested: "the SessionAgent has called the broker",
  created: "the broker has created the sandbox",
  connected: "the runner has connected",
  opencode_starting: "OpenCode is starting",
  git_setup: "the runner is setting up the repository",
  ready: "the runner is idle",
};

export const TERMINATE_REASON_MEANINGS: Record<values.TerminateReason, string> = {
  requested: "a person requested it",
  sandbox_gone: "the sandbox no longer existed when the session was to be hibernated",
  parent_session_terminated: "the parent session was terminated",
  session_deleted: "the session is being deleted",
};

export const DELETE_REASON_MEANINGS: Record<values.DeleteReason, string> = {
  requested: "a person requested it",
  retention: "the session had been terminated for `VALET_RETENTION_DAYS`",
  parent_session_deleted: "a person requested the deletion of its parent session",
};

export const START_SOURCE_MEANINGS: Record<values.StartSource, string> = {
  hook: "when Valet's plugin saw the request leave OpenCode",
  event: "in the agent's event stream, 8 to 44 ms too early",
};

export const CHANGES_UNKNOWN_MEANINGS: Record<values.ChangesUnknownReason, string> = {
  timeout: "git did not finish within 2 seconds after the turn",
  not_a_repository: "the workspace is not a git repository, or is one no more",
  no_baseline: "the state before the turn is not known",
  git_failed: "git failed, for example because the agent removed objects that the state before needs",
  too_large: "more than 20,000 new or modified files, or more than 256 MiB of them",
  runner_stopped: "the runner was stopped meanwhile",
  sandbox_lost: "the sandbox or its runner was lost",
  not_reported: "the runner has not reported it, or is of a version that does not",
};
