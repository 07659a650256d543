/**
 * Every reason for an outcome other than `ok`, once. Lists that name error types are made from this table: those that a span
 * may end with, those that abort an attempt, those that move on to the next model, those that work ends with. A row that is
 * added here is in every list that it belongs to, or the code that must handle it does not compile.
 */
import type { Outcome } from "./outcomes.ts";

/** What an error type may end. Each is a span of the catalogue, or several that end alike. */
export type Ended =
  | "message"
  | "workflow"
  | "wait"
  | "dispatch"
  | "turn"
  | "execution"
  | "step"
  | "finalize"
  | "agent"
  | "call"
  | "retry"
  | "tool"
  | "request"
  | "compaction"
  | "start"
  | "capacity_wait"
  | "hibernate"
  | "terminate"
  | "create"
  | "snapshot"
  | "delete"
  | "bootstrap"
  | "connect"
  | "opencode_start"
  | "repository_config"
  | "mcp"
  | "git_setup"
  | "git_clone"
  | "git_checkout"
  | "git_submodules"
  | "git_config"
  | "child_spawn"
  | "child_report"
  | "broker_step"
  | "http_request";

/** What the table says of one error type. */
export interface ErrorDefinition {
  /**
   * The outcomes that it explains. With `error` and `lost` it is `error.type`; with any other outcome it is
   * `valet.outcome.reason`. No error type explains outcomes of both kinds.
   */
  readonly outcomes: readonly Exclude<Outcome, "ok">[];
  /** The parts that may be the first to say so; none where only earlier versions did, whose sessions have it on record. */
  readonly reporters: readonly ("worker" | "session-agent" | "runner" | "broker")[];
  readonly ends: readonly Ended[];
  /** Whether what is still open below ends with it, in the same way. */
  readonly cuts?: true;
  /** Whether the runner can be asked to end an attempt for this reason. */
  readonly aborts?: true;
  /** Whether the next model of the list is tried. */
  readonly failsOver?: true;
  /** What happened. */
  readonly meaning: string;
  /** What a person can do about it; `null` where there is nothing to do. */
  readonly remedy: string | null;
}

/** What an attempt consists of while the agent works; an abort cuts it. */
const WORK = [
  "turn",
  "execution",
  "step",
  "agent",
  "call",
  "retry",
  "tool",
  "request",
  "compaction",
  "child_spawn",
] as const;
/** What the runner does before it is ready. */
const BOOT = [
  "bootstrap",
  "connect",
  "opencode_start",
  "repository_config",
  "mcp",
  "git_setup",
  "git_clone",
  "git_checkout",
  "git_submodules",
  "git_config",
] as const;
/** What a job ends with that its session cannot be started for. */
const JOB_AND_START = ["message", "workflow", "wait", "start"] as const;

/** Whatever speaks to the repository's remote, and the start that fails with it. */
const GIT_REMOTE = [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules"] as const;

export const ERRORS = {
  // The sandbox and its broker
  spawn_failed: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create"],
    meaning: "the broker could not make a sandbox",
    remedy: "Read the broker's log, then send the message again.",
  },
  restore_failed: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create"],
    meaning: "the broker could not make a sandbox from the snapshot",
    remedy: "Read the broker's log, then send the message again.",
  },
  snapshot_failed: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: ["hibernate", "snapshot"],
    meaning: "the broker could not take a snapshot",
    remedy: "Read the broker's log: the disk may be full, or a file in the workspace cannot be copied.",
  },
  sandbox_gone: {
    outcomes: ["error", "lost"],
    reporters: ["broker", "session-agent"],
    ends: [
      ...JOB_AND_START,
      "dispatch",
      ...WORK,
      "finalize",
      ...BOOT,
      "hibernate",
      "snapshot",
      "delete",
      "broker_step",
    ],
    cuts: true,
    meaning: "the sandbox no longer exists",
    remedy: "Send the message again: the session starts a new sandbox.",
  },
  entrypoint_failed: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: JOB_AND_START,
    meaning: "the runner died each time it was started, until the broker started it no more",
    remedy: "Read the end of the runner's log, and whether the machine has memory left.",
  },
  entrypoint_ended: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: JOB_AND_START,
    meaning: "the runner ended before it was ready, in a way that another start would not change",
    remedy: "Read the end of the runner's log: its settings may be wrong, or of another version.",
  },
  sandbox_timeout: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create", "hibernate", "snapshot"],
    meaning: "the broker gave up making a sandbox, or its snapshot, that took too long",
    remedy:
      "Look at the load of the broker's disk and at the size of the workspace; VALET_BROKER_CALL_MS and VALET_SNAPSHOT_MS allow more.",
  },
  broker_unreachable: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "hibernate", "terminate", "create", "snapshot", "delete"],
    meaning: "no connection to the broker",
    remedy: "Check that the broker runs and that SANDBOX_BROKER_URL names it.",
  },
  broker_timeout: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "hibernate", "terminate", "create", "snapshot", "delete"],
    meaning: "the broker did not answer in time",
    remedy: "Check the load of the broker's machine and its log.",
  },
  broker_error: {
    outcomes: ["error"],
    reporters: ["session-agent", "broker"],
    ends: [...JOB_AND_START, "hibernate", "terminate", "create", "snapshot", "delete", "broker_step"],
    meaning: "the broker answered with an error that has no name of its own",
    remedy: "Read the broker's log.",
  },
  broker_full: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["create"],
    meaning: "the broker has as many sandboxes as it takes; the start waits for its turn and goes on",
    remedy: "Nothing has failed. Give the broker more memory, or let sessions hibernate sooner, if they wait for long.",
  },
  breaker_open: {
    outcomes: ["error"],
    reporters: [],
    ends: ["message", "workflow", "wait"],
    meaning: "starting failed too often and was given up",
    remedy: "Send a message to try again.",
  },
  stale_generation: {
    outcomes: ["superseded"],
    reporters: ["session-agent"],
    ends: ["dispatch", "start", "create", "bootstrap", "connect"],
    meaning: "a newer sandbox had taken over",
    remedy: null,
  },
  // The runner and its link
  runner_never_ready: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: JOB_AND_START,
    meaning: "the sandbox ran, its runner did not report idle in time",
    remedy: "Look at the last stage that was reached, and at the runner's log in the sandbox.",
  },
  runner_lost: {
    outcomes: ["error", "lost"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "dispatch", ...WORK, "finalize", ...BOOT],
    cuts: true,
    meaning: "the runner left for longer than the grace period, or its sandbox has stopped",
    remedy: "Send the message again. If it recurs, the sandbox may be out of memory.",
  },
  runner_replaced: {
    outcomes: ["superseded"],
    reporters: ["runner"],
    ends: ["bootstrap", "connect"],
    meaning: "another runner of the same sandbox has the link",
    remedy: null,
  },
  runner_shutdown: {
    outcomes: ["aborted"],
    reporters: ["runner"],
    ends: [...WORK, ...BOOT],
    cuts: true,
    aborts: true,
    meaning: "the runner was told to stop",
    remedy: null,
  },
  token_refused: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["bootstrap", "connect"],
    meaning: "the runner's token was not accepted",
    remedy: null,
  },
  protocol_unsupported: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "bootstrap", "connect"],
    meaning: "the runner speaks another version of the link's protocol than the Worker",
    remedy:
      "Deploy the Worker and the sandboxes' runner of one version, the Worker first; then send the message again.",
  },
  send_failed: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "dispatch", "finalize"],
    meaning: "the link broke while sending",
    remedy: "Send the message again.",
  },
  not_accepted: {
    outcomes: ["error"],
    reporters: ["session-agent", "runner"],
    ends: ["message", "workflow", "dispatch"],
    meaning: "the runner refused the dispatch, or did not answer it in time",
    remedy: "Send the message again. If it recurs, the sandbox's runner may be of an older version.",
  },
  // The repository
  no_repository: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["git_setup"],
    meaning: "the session has no repository",
    remedy: null,
  },
  git_clone_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone"],
    meaning: "the clone or fetch failed",
    remedy: "Check the repository's URL, and that sandboxes can reach its host.",
  },
  git_certificate_untrusted: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning:
      "git does not trust the certificate of the repository's host: it is self-signed, of an unknown authority, expired, or for another name",
    remedy:
      "Name a file with the authorities to trust in GIT_SSL_CAINFO or SSL_CERT_FILE where `valet up` or the broker runs; in a container image, install the authority.",
  },
  git_host_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning: "the name of the repository's host cannot be resolved",
    remedy: "Check the spelling of the host in the repository's URL, and that sandboxes can resolve names.",
  },
  git_unreachable: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning: "no connection to the repository's host: it was refused, reset, or there is no route",
    remedy:
      "Check the host and the port in the repository's URL, and that sandboxes can reach it (a proxy, a firewall).",
  },
  git_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning: "the host knows no such repository, or does not show it without credentials",
    remedy:
      "Check the path in the repository's URL; for a private repository, create the session with credentials that may read it.",
  },
  git_not_a_repository: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning: "what answers at the URL is no git repository but a web page, say, or a redirect to a login",
    remedy:
      "Use the URL that `git clone` takes, not that of a page about the repository; behind a login, give the session credentials.",
  },
  git_auth_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules"],
    meaning: "the remote refused the credentials, or there were none",
    remedy: "Create the session with credentials that may read the repository.",
  },
  git_ref_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules"],
    meaning: "the branch or ref does not exist",
    remedy: "Check the spelling of the branch or ref, and create the session again.",
  },
  git_no_default_branch: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_checkout"],
    meaning: "the remote's HEAD names no branch, and the session asks for none",
    remedy: "Create the session with the branch to check out, or mend the HEAD of the remote.",
  },
  git_submodule_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["git_submodules"],
    meaning: "not all submodules could be checked out; the agent works without them",
    remedy: "Check their URLs: https and ssh are allowed, and credentials are only for the repository's own host.",
  },
  repository_empty: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["git_checkout"],
    meaning: "the remote repository has no branch yet",
    remedy: null,
  },
  git_unusable: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["git_setup", "git_config"],
    meaning: "git cannot read the repository of a workspace that was kept; the agent works on in it as it is",
    remedy: "Ask the agent to mend the repository.",
  },
  git_config_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_config"],
    meaning: "git could not be configured",
    remedy: "Check that the sandbox's disk is writable and not full.",
  },
  git_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules", "git_config"],
    meaning: "git did not end in time",
    remedy: "Check that the repository's host answers sandboxes; a very large repository needs a longer limit.",
  },
  secrets_lost: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap"],
    meaning: "a runner that was restarted did not find the keys that are given to a sandbox once",
    remedy:
      "Nothing, unless it happens again: the session gets a new sandbox, with its files and with the keys. Then look whether the sandbox's disk is full.",
  },
  // The agent
  opencode_unhealthy: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "turn", "execution", "step", "agent", "finalize", "bootstrap", "opencode_start"],
    meaning: "OpenCode did not become healthy in time",
    remedy: "Check the load of the sandbox's machine, and the repository's configuration of OpenCode.",
  },
  repository_config_invalid: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["repository_config"],
    meaning: "the repository's configuration of OpenCode cannot be read, or not all of it",
    remedy: "Mend the files that the runner's log names, `opencode.json` say.",
  },
  mcp_server_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["mcp"],
    meaning:
      "an MCP server of the repository's configuration did not start or did not answer: the agent lacks its tools",
    remedy: "Check the server's command or URL, and whether the sandbox can run or reach it.",
  },
  opencode_died: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK, "finalize", "opencode_start"],
    cuts: true,
    meaning: "the OpenCode process ended by itself",
    remedy: "Send the message again. If it recurs, the sandbox may be out of memory.",
  },
  opencode_hung: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK, "finalize", "opencode_start"],
    cuts: true,
    meaning: "the OpenCode process existed but answered nothing, and was killed",
    remedy:
      "Send the message again: OpenCode is started anew. If it recurs, look at the load and the memory of the sandbox's machine.",
  },
  opencode_error: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "execution", "step", "agent", "call", "compaction"],
    meaning: "OpenCode reported an error that has no name of its own",
    remedy: "Read OpenCode's log in the sandbox.",
  },
  stuck_turn: {
    outcomes: ["error"],
    reporters: ["runner", "session-agent"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    aborts: true,
    meaning: "the watchdog ended a turn in which nothing happened any more",
    remedy: "Look at the span that was open longest: it is what did not answer.",
  },
  tool_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["tool"],
    meaning: "the tool returned an error",
    remedy: null,
  },
  permission_denied: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent", "tool"],
    meaning: "a person said no",
    remedy: null,
  },
  tool_call_invalid: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["tool"],
    meaning: "the model called a tool that there is not, or gave it arguments that cannot be read",
    remedy: null,
  },
  tool_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["tool"],
    meaning: "the agent's own time limit ended the tool's command",
    remedy: "Ask for a longer limit, or have the command run in the background.",
  },
  tool_stuck: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "a tool went on long after its own time limit: something that it started holds its output open",
    remedy: "Have long-running processes started with their output redirected, as in `server > server.log 2>&1 &`.",
  },
  // Work that leads nowhere
  no_model_call: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent"],
    meaning: "the agent took the prompt and asked no model",
    remedy: "Send the message again. If it recurs, begin a new session.",
  },
  attachment_unreadable: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent", "call", "compaction"],
    meaning: "the agent cannot read an attachment: an image that is damaged, say",
    remedy: "Send the file in another form.",
  },
  empty_answer: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent", "call", "compaction"],
    meaning: "the model's answer held neither text nor a tool call",
    remedy: "Ask again, or use another model.",
  },
  useless_answers: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning:
      "the model's answers called no tool and had no end, three or more in a row: some are under way when the third is noticed",
    remedy: "Check that the provider's URL is that of a model, and that it sends finish reasons.",
  },
  agent_loop: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "the agent called the same tool with the same arguments five times and got the same result",
    remedy: "Say what to do instead. A tool that is meant to be polled can be named in VALET_POLLING_TOOLS.",
  },
  model_call_limit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "the turn made as many model calls as a turn may",
    remedy: "Split the task, or raise VALET_MAX_MODEL_CALLS.",
  },
  turn_time_limit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "the turn took as long as a turn may",
    remedy: "Split the task, or raise VALET_MAX_TURN_MS.",
  },
  // The model and its provider
  model_chain_exhausted: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step"],
    meaning: "every model of the preference list failed",
    remedy: "Look at why the last model failed.",
  },
  model_unknown: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step"],
    meaning: "the agent knows no such model, or its provider has no key",
    remedy: "Check the model's name, and that its provider's key is configured; or make a session with another model.",
  },
  provider_rate_limited: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "429, or the provider's word for it",
    remedy: "Wait, or add another model to the session's list.",
  },
  provider_overloaded: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "503 or 529, or the provider's word for it",
    remedy: "Wait, or add another model to the session's list.",
  },
  provider_unavailable: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "no connection, or another 5xx",
    remedy: "Check that sandboxes can reach the provider.",
  },
  provider_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "no answer in time",
    remedy: "Check the provider's status, or add another model to the session's list.",
  },
  provider_auth_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "401 or 403",
    remedy: "Check the provider's key.",
  },
  provider_bad_request: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "another 4xx: the provider does not know the model, or refuses the request's form",
    remedy: "Check the model's name.",
  },
  provider_stream_cut: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the answer broke off",
    remedy: "Send the message again.",
  },
  provider_bad_response: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider's answer cannot be read: it is no JSON, or not of the form that the protocol has",
    remedy:
      "Check that the provider's URL is that of a model and that no proxy changes its answers, or use another model.",
  },
  context_overflow: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "more input than the model takes",
    remedy: "Use a model with a larger context, or a new session.",
  },
  output_limit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the answer was cut at the token limit and is of no use",
    remedy: "Ask for less at once.",
  },
  content_filtered: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider withheld the answer",
    remedy: null,
  },
  // What people and the session's own life do to work
  user_abort: {
    outcomes: ["aborted"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "wait", "dispatch", ...WORK],
    cuts: true,
    aborts: true,
    meaning: "a person aborted it",
    remedy: null,
  },
  steered: {
    outcomes: ["superseded"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "dispatch", ...WORK],
    cuts: true,
    aborts: true,
    meaning: "a message in mode `steer` took its place",
    remedy: null,
  },
  withdrawn: {
    outcomes: ["aborted"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "wait"],
    meaning: "its sender took the message back",
    remedy: null,
  },
  queue_cleared: {
    outcomes: ["aborted"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "wait"],
    meaning: "the queue was cleared",
    remedy: null,
  },
  session_busy: {
    outcomes: ["skipped"],
    reporters: ["session-agent"],
    ends: ["hibernate"],
    meaning: "work arrived before it was too late to stay awake",
    remedy: null,
  },
  session_hibernated: {
    outcomes: ["aborted"],
    reporters: ["runner"],
    ends: ["message", "workflow", "dispatch", ...WORK],
    cuts: true,
    aborts: true,
    meaning: "the session was hibernated meanwhile",
    remedy: null,
  },
  session_terminated: {
    outcomes: ["aborted"],
    reporters: ["session-agent"],
    ends: [
      ...JOB_AND_START,
      "capacity_wait",
      "dispatch",
      ...WORK,
      "hibernate",
      "create",
      "snapshot",
      "delete",
      "child_spawn",
    ],
    cuts: true,
    aborts: true,
    meaning: "the session was terminated meanwhile",
    remedy: null,
  },
  // Workflows and child sessions
  workflow_invalid: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["workflow", "dispatch", "execution"],
    meaning: "the runner could not make sense of the workflow",
    remedy: "Check that sandboxes run the same version as the Worker.",
  },
  workflow_step_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["workflow", "execution"],
    meaning: "a step failed",
    remedy: "Look at the step that failed first.",
  },
  command_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["step"],
    meaning: "a step's command ended with another exit code than 0, or was killed by a signal",
    remedy: "Read the step's output.",
  },
  command_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["step"],
    meaning: "a step's command did not end in time and was killed",
    remedy: "Read the step's output; split the command, or let it end sooner.",
  },
  previous_step_failed: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["step"],
    meaning: "an earlier step failed and the workflow stops then",
    remedy: null,
  },
  child_session_refused: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["child_spawn"],
    meaning: "no child session was made",
    remedy: null,
  },
  parent_session_gone: {
    outcomes: ["skipped"],
    reporters: ["session-agent"],
    ends: ["child_report"],
    meaning: "the parent session takes no more messages",
    remedy: null,
  },
  // Requests: what their callers did
  client_closed_request: {
    outcomes: ["aborted"],
    reporters: ["worker"],
    ends: ["http_request"],
    meaning: "the caller went away before its request was complete",
    remedy: null,
  },
  request_timeout: {
    outcomes: ["aborted"],
    reporters: ["worker"],
    ends: ["http_request"],
    meaning: "the body of the request did not arrive in time",
    remedy: "Send it over a faster connection, or send less.",
  },
  // The word is OpenTelemetry's.
  _OTHER: {
    outcomes: ["error", "lost"],
    reporters: ["session-agent", "runner", "broker"],
    ends: [],
    meaning: "none of these: a bug in Valet",
    remedy: "Please report it, with the trace.",
  },
} as const satisfies Record<string, ErrorDefinition>;

/** Why an outcome is not `ok`. */
export type ErrorType = keyof typeof ERRORS;
type Rows = typeof ERRORS;

/** Those that explain `error` and `lost`, and so are `error.type`. */
export type FailureType = {
  [E in ErrorType]: Extract<Rows[E]["outcomes"][number], "error" | "lost"> extends never ? never : E;
}[ErrorType];
/** Those that explain any other outcome, and so are `valet.outcome.reason`. */
export type OutcomeReason = Exclude<ErrorType, FailureType>;

/** Those that may end one of these. */
export type EndedBy<W extends Ended> = {
  [E in ErrorType]: Extract<Rows[E]["ends"][number], W> extends never ? never : E;
}[ErrorType];
/** Those with a mark of the table. */
export type Marked<M extends "cuts" | "aborts" | "failsOver"> = {
  [E in ErrorType]: Rows[E] extends { readonly [K in M]: true } ? E : never;
}[ErrorType];

const rows: Readonly<Record<ErrorType, ErrorDefinition>> = ERRORS;

export const ERROR_TYPES = Object.keys(ERRORS) as [ErrorType, ...ErrorType[]];
export const FAILURE_TYPES = ERROR_TYPES.filter(isFailureType);
export const OUTCOME_REASONS = ERROR_TYPES.filter((type) => !isFailureType(type)) as OutcomeReason[];

/** Whether it is `error.type`, and no mere reason. */
export function isFailureType(type: ErrorType): type is FailureType {
  return rows[type].outcomes.some((outcome) => outcome === "error" || outcome === "lost");
}

/** Those that may end one of these, in the table's order. */
export function endedBy<W extends Ended>(...what: W[]): EndedBy<W>[] {
  return ERROR_TYPES.filter((type) => rows[type].ends.some((each) => (what as Ended[]).includes(each))) as EndedBy<W>[];
}

/** Those with a mark of the table, in the table's order. */
export function marked<M extends "cuts" | "aborts" | "failsOver">(mark: M) {
  return ERROR_TYPES.filter((type) => rows[type][mark] === true) as [Marked<M>, ...Marked<M>[]];
}

/** Those that this part may be the first to say, or that it repeats because it was asked to abort for them. */
export function isSaidBy(type: ErrorType, reporter: ErrorDefinition["reporters"][number]): boolean {
  return rows[type].reporters.includes(reporter) || (reporter === "runner" && rows[type].aborts === true);
}

/** The error type of this name; `_OTHER` for a name that this version does not know. */
export function knownErrorType(name: string): ErrorType {
  return ERROR_TYPES.find((type) => type === name) ?? "_OTHER";
}

/** What happened and what a person can do, in one or two sentences. */
export function explain(type: ErrorType): string {
  const { meaning, remedy } = rows[type];
  const sentence = `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`;
  return remedy === null ? sentence : `${sentence} ${remedy}`;
}
