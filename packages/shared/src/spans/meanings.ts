import type * as values from "./values.ts";

/**
 * What the closed values mean, for the specification's tables. Each list is complete, or this does not compile. Code that
 * emits spans has no use for it.
 */

export const OUTCOME_MEANINGS: Record<values.Outcome, string> = {
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

/** The outcomes an error type goes with, and what it says. */
export const ERROR_MEANINGS: Record<values.ErrorType, { outcomes: readonly values.Outcome[]; meaning: string }> = {
  spawn_failed: { outcomes: ["error"], meaning: "the broker could not make a sandbox" },
  restore_failed: { outcomes: ["error"], meaning: "the broker could not make one from the snapshot" },
  snapshot_failed: { outcomes: ["error"], meaning: "the broker could not take a snapshot" },
  sandbox_gone: { outcomes: ["error", "lost"], meaning: "the sandbox no longer exists" },
  broker_unreachable: { outcomes: ["error"], meaning: "no connection to the broker" },
  broker_timeout: { outcomes: ["error"], meaning: "the broker did not answer in time" },
  broker_error: { outcomes: ["error"], meaning: "the broker answered with an error that has no name of its own" },
  breaker_open: { outcomes: ["error"], meaning: "recovery failed too often and was given up" },
  stale_generation: { outcomes: ["superseded"], meaning: "a newer sandbox had taken over" },
  runner_never_ready: { outcomes: ["error"], meaning: "the sandbox ran, its runner did not report idle in time" },
  runner_lost: { outcomes: ["lost", "error"], meaning: "the runner left for longer than the grace period" },
  runner_replaced: { outcomes: ["superseded"], meaning: "another runner of the same sandbox has the link" },
  runner_shutdown: { outcomes: ["aborted"], meaning: "the runner was told to stop" },
  link_failed: { outcomes: ["error"], meaning: "the runner could not reach the SessionAgent" },
  token_refused: { outcomes: ["error"], meaning: "the runner's token was not accepted" },
  send_failed: { outcomes: ["error"], meaning: "the link broke while sending" },
  not_accepted: { outcomes: ["error"], meaning: "the runner refused the dispatch, or did not answer it in time" },
  no_repository: { outcomes: ["skipped"], meaning: "the session has no repository" },
  git_clone_failed: { outcomes: ["error"], meaning: "the clone or fetch failed" },
  git_auth_failed: { outcomes: ["error"], meaning: "the remote refused the credentials, or there were none" },
  git_ref_not_found: { outcomes: ["error"], meaning: "the branch or ref does not exist" },
  git_config_failed: { outcomes: ["error"], meaning: "git could not be configured" },
  git_timeout: { outcomes: ["error"], meaning: "git did not end in time" },
  opencode_unhealthy: { outcomes: ["error"], meaning: "OpenCode did not become healthy in time" },
  opencode_died: { outcomes: ["error"], meaning: "the OpenCode process ended by itself" },
  opencode_error: { outcomes: ["error"], meaning: "OpenCode reported an error that has no name of its own" },
  stuck_turn: { outcomes: ["error"], meaning: "the watchdog ended a turn in which nothing happened any more" },
  tool_failed: { outcomes: ["error"], meaning: "the tool gave back an error" },
  permission_denied: { outcomes: ["error"], meaning: "a person said no" },
  model_chain_exhausted: { outcomes: ["error"], meaning: "every model of the preference list failed" },
  provider_rate_limited: { outcomes: ["error"], meaning: "429, or the provider's word for it" },
  provider_overloaded: { outcomes: ["error"], meaning: "503 or 529, or the provider's word for it" },
  provider_unavailable: { outcomes: ["error"], meaning: "no connection, or another 5xx" },
  provider_timeout: { outcomes: ["error"], meaning: "no answer in time" },
  provider_auth_failed: { outcomes: ["error"], meaning: "401 or 403" },
  provider_bad_request: {
    outcomes: ["error"],
    meaning: "another 4xx: the model is unknown, or refuses the request's form",
  },
  provider_stream_cut: { outcomes: ["error"], meaning: "the answer broke off" },
  context_overflow: { outcomes: ["error"], meaning: "more input than the model takes" },
  output_limit: { outcomes: ["error"], meaning: "the answer was cut at the token limit and is of no use" },
  content_filtered: { outcomes: ["error"], meaning: "the provider withheld the answer" },
  user_abort: { outcomes: ["aborted"], meaning: "a person aborted it" },
  steered: { outcomes: ["superseded"], meaning: "a message in mode `steer` took its place" },
  withdrawn: { outcomes: ["aborted"], meaning: "its sender took the message back" },
  queue_cleared: { outcomes: ["aborted"], meaning: "the queue was cleared" },
  session_busy: { outcomes: ["skipped"], meaning: "work arrived before it was too late to stay awake" },
  session_hibernated: { outcomes: ["aborted"], meaning: "the session was hibernated meanwhile" },
  session_terminated: { outcomes: ["aborted"], meaning: "the session was terminated meanwhile" },
  workflow_invalid: { outcomes: ["error"], meaning: "the runner could not make sense of the workflow" },
  workflow_step_failed: { outcomes: ["error"], meaning: "a step failed" },
  command_failed: { outcomes: ["error"], meaning: "a step's command ended with another code than 0" },
  command_timeout: { outcomes: ["error"], meaning: "a step's command did not end in time and was killed" },
  previous_step_failed: { outcomes: ["skipped"], meaning: "an earlier step failed and the workflow stops then" },
  child_session_refused: { outcomes: ["error"], meaning: "no child session was made" },
  parent_session_gone: { outcomes: ["skipped"], meaning: "the parent session takes no more messages" },
  _OTHER: { outcomes: ["error", "lost"], meaning: "none of these: a bug in Valet" },
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
  system_message: "its turn, as a message of the system for which nobody sits and waits",
};

export const WAKE_REASON_MEANINGS: Record<values.SpawnReason | values.RestoreReason, string> = {
  session_created: "the session is new",
  message_waiting: "a message or workflow needs it",
  requested: "somebody asked",
  recovery: "the sandbox or its runner was lost",
};

export const HIBERNATE_REASON_MEANINGS: Record<values.HibernateReason, string> = {
  idle_timeout: "nothing happened for the session's idle timeout",
  requested: "somebody asked",
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
  snapshot_failed: "no snapshot could be taken",
  parent_session_terminated: "the parent session was terminated",
};

export const START_SOURCE_MEANINGS: Record<values.StartSource, string> = {
  hook: "exact, from inside the agent",
  event: "from the agent's event stream, a few milliseconds early",
};
