/**
 * The closed lists of values of spans' attributes. Each is a separate export, so a bundle contains only the lists that its code
 * uses. Their meanings are in meanings.ts, from which the specification is generated.
 */

/** Span kinds and their numbers in OTLP's `SpanKind`. */
export const KINDS = { INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 } as const;

/** The values of `service.name`. */
export const SERVICES = ["valet-worker", "valet-runner", "valet-broker"] as const;
export type Service = (typeof SERVICES)[number];

/** How a span relates to one that it links to: `valet.link.type`. */
export const LINK_TYPES = ["caused_by", "waited_on", "collected", "spawned_by", "follows"] as const;
export type LinkType = (typeof LINK_TYPES)[number];

/** What a job does if another one is running: `valet.queue.mode`. */
export const QUEUE_MODES = ["followup", "steer", "collect"] as const;
export type QueueMode = (typeof QUEUE_MODES)[number];

/** What a job waits for before its dispatch; `immediate` for nothing: `valet.queue.reason`. */
export const QUEUE_REASONS = [
  "immediate",
  "runner_busy",
  "sandbox_starting",
  "sandbox_hibernated",
  "sandbox_restoring",
  "runner_disconnected",
  "collect_debounce",
  "initial_prompt",
  "system_message",
  "capacity",
] as const;
export type QueueReason = (typeof QUEUE_REASONS)[number];

/** Who sent a message: `valet.message.source`. */
export const MESSAGE_SOURCES = ["user", "system"] as const;
export type MessageSource = (typeof MESSAGE_SOURCES)[number];

/** Why a sandbox was started: `valet.spawn.reason`. */
export const SPAWN_REASONS = ["session_created", "message_waiting", "requested", "recovery"] as const;
export type SpawnReason = (typeof SPAWN_REASONS)[number];

/** Why a session was restored: `valet.restore.reason`. */
export const RESTORE_REASONS = ["message_waiting", "requested", "recovery"] as const;
export type RestoreReason = (typeof RESTORE_REASONS)[number];

/** Why a session was hibernated: `valet.hibernate.reason`. */
export const HIBERNATE_REASONS = [
  "idle_timeout",
  "requested",
  "capacity",
  "sandbox_stopped",
  "runner_lost",
  "retry",
] as const;
export type HibernateReason = (typeof HIBERNATE_REASONS)[number];

/** Why a session was terminated: `valet.terminate.reason`. */
export const TERMINATE_REASONS = ["requested", "sandbox_gone", "parent_session_terminated", "session_deleted"] as const;
export type TerminateReason = (typeof TERMINATE_REASONS)[number];

/** Why a session was deleted: `valet.delete.reason`. */
export const DELETE_REASONS = ["requested", "retention", "parent_session_deleted"] as const;
export type DeleteReason = (typeof DELETE_REASONS)[number];

/** The stages of a sandbox's start, in order: `valet.sandbox.stage`. */
export const SANDBOX_STAGES = ["requested", "created", "connected", "opencode_starting", "git_setup", "ready"] as const;
export type SandboxStage = (typeof SANDBOX_STAGES)[number];

/** The broker's drivers: `valet.sandbox.driver`. */
export const SANDBOX_DRIVERS = ["local", "docker", "modal"] as const;
export type SandboxDriver = (typeof SANDBOX_DRIVERS)[number];

/** The operations of the broker's API: `valet.broker.call`. */
export const BROKER_CALLS = ["create", "snapshot", "restore", "terminate"] as const;
export type BrokerCall = (typeof BROKER_CALLS)[number];

/**
 * How much of the repository's configuration OpenCode was started with: its text, all of it because the session trusts the
 * repository, or nothing because OpenCode did not start with it.
 */
export const REPOSITORY_CONFIGS = ["text", "trusted", "dropped"] as const;

/**
 * What the agent's warm-up prepares: only OpenCode's process, in an empty folder while the repository is set up, or the process
 * and the workspace. `valet.warm_up.scope`.
 */
export const WARM_UP_SCOPES = ["process", "workspace"] as const;
export type WarmUpScope = (typeof WARM_UP_SCOPES)[number];

/** Where the start time of a model call was read: `valet.llm.start_source`. */
export const START_SOURCES = ["hook", "event"] as const;
export type StartSource = (typeof START_SOURCES)[number];

/** A person's reply to a permission request: `valet.permission.reply`. */
export const PERMISSION_REPLIES = ["once", "always", "reject"] as const;
export type PermissionReply = (typeof PERMISSION_REPLIES)[number];

/** What a workflow step runs: `valet.workflow.step.type`. */
export const STEP_TYPES = ["prompt", "command"] as const;
export type StepType = (typeof STEP_TYPES)[number];

/** What a workflow does after a failed step: `valet.workflow.on_failure`. */
export const FAILURE_POLICIES = ["stop", "continue"] as const;
export type FailurePolicy = (typeof FAILURE_POLICIES)[number];

/** What a child session reports to its parent: `valet.child_session.event`. */
export const CHILD_SESSION_EVENTS = ["completed", "error", "terminated"] as const;
export type ChildSessionEvent = (typeof CHILD_SESSION_EVENTS)[number];

/**
 * Why it is unknown what a turn changed: `valet.changes.unknown`. The runner says the first six; `sandbox_lost` and `not_reported`
 * are the session's own, for turns about which no runner said anything.
 */
export const CHANGES_UNKNOWN = [
  "timeout",
  "not_a_repository",
  "no_baseline",
  "git_failed",
  "too_large",
  "runner_stopped",
  "sandbox_lost",
  "not_reported",
] as const;
export type ChangesUnknownReason = (typeof CHANGES_UNKNOWN)[number];

/** The values of `http.request.method`: the methods of routes, and the convention's value for any other. */
export const HTTP_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "_OTHER"] as const;
export type HttpMethod = (typeof HTTP_METHODS)[number];

/** What the receiver of commands' traces refuses: the last part of each `valet.refused.*` key. */
export const REFUSED_KINDS = ["spans", "trace_requests", "log_requests", "metric_requests"] as const;
export type RefusedKind = (typeof REFUSED_KINDS)[number];

/** Why spans were lost on their way to the backend: the last part of each `valet.dropped_spans.*` key. */
export const DROP_REASONS = [
  "queue_full",
  "rejected",
  "invalid",
  "late",
  "retries_exhausted",
  "not_retryable",
  "too_large",
  "shutdown",
] as const;
