import type { Outcome } from "./outcomes.ts";
import type * as values from "./values.ts";

/**
 * What the closed values mean, for the specification's tables. Each list is complete, or this does not compile. Code that
 * emits spans has no use for it.
 */

export const OUTCOME_MEANINGS: Record<Outcome, string> = {
  ok: "It did what it was for.",
  error: "It failed.",
  aborted: "Somebody, or the session's own life, ended it.",
  superseded: "Something newer took its place.",
  skipped: "There was nothing to do, or no longer.",
  lost: "Whoever did it is gone. The span was sealed for it, at the last sign of life or later.",
};

export const LINK_MEANINGS: Record<values.LinkType, string> = {
  caused_by: "what set it off, or what ended it: a request, a message, another session's report",
  waited_on: "what a message waited for: a turn, a spawn, a restore, a hibernate",
  collected: "each message of a batch, from the batch's dispatch",
  spawned_by: "the tool call that spawned this child session, from its first message",
  follows:
    "what came before it of the same kind or the same life: the lost attempt, the hibernate that made the snapshot",
};

export const QUEUE_MODE_MEANINGS: Record<values.QueueMode, string> = {
  followup: "waits its turn",
  steer: "aborts what runs in its channel and goes first",
  collect: "waits for others and is dispatched with them as one batch",
};

export const QUEUE_REASON_MEANINGS: Record<values.QueueReason, string> = {
  immediate: "nothing: it was dispatched as it was accepted",
  runner_busy: "a turn in the same channel",
  sandbox_starting: "a spawn",
  sandbox_hibernated: "the session to be woken, a hibernate under way included",
  sandbox_restoring: "a restore",
  runner_disconnected: "the runner to come back",
  collect_debounce: "the batch to close",
  initial_prompt: "the first start of the session that it was created with",
  capacity: "a sandbox of another session to end: there are as many awake, or starting, as there may be",
  system_message: "its turn, as a message of the system for which nobody sits and waits",
};

export const WAKE_REASON_MEANINGS: Record<values.SpawnReason | values.RestoreReason, string> = {
  session_created: "the session is new",
  message_waiting: "a message or workflow needs it",
  requested: "somebody asked",
  recovery: "the sandbox or its runner was lost, or the broker was away when the session was first started",
};

export const HIBERNATE_REASON_MEANINGS: Record<values.HibernateReason, string> = {
  idle_timeout: "nothing happened for the session's idle timeout",
  requested: "somebody asked",
  capacity: "it had nothing to do, longer than others, and another session waited for a sandbox",
  sandbox_stopped: "its sandbox had stopped, with its host or by itself; its files were kept",
  runner_lost: "its runner was lost; what was in its sandbox was kept",
  retry: "one that could take no snapshot is tried again",
};

export const STAGE_MEANINGS: Record<values.SandboxStage, string> = {
  requested: "the broker has been asked",
  created: "the broker has made it",
  connected: "its runner is on the link",
  opencode_starting: "OpenCode starts",
  git_setup: "the repository is put in place",
  ready: "the runner is idle",
};

export const TERMINATE_REASON_MEANINGS: Record<values.TerminateReason, string> = {
  requested: "somebody asked",
  sandbox_gone: "the sandbox was gone when it was to be hibernated",
  parent_session_terminated: "the parent session was terminated",
};

export const START_SOURCE_MEANINGS: Record<values.StartSource, string> = {
  event: "from the agent's event stream, 8 to 44 ms early",
};
