/**
 * The one table of reasons for an outcome other than `ok`. Every list of error types is derived from it: those that a span may
 * end with, those that abort an attempt, those that cause a failover to the next model. A new row is in every list that it
 * belongs to; where code must handle it, that code does not compile until it does.
 */
import type { Outcome } from "./outcomes.ts";

/** What an error type may end. Each stands for a span of the catalogue, or for several that end in the same ways. */
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
  | "changes"
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
  | "warm_up"
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

/** A row of the table: one error type. */
export interface ErrorDefinition {
  /**
   * The outcomes that it explains. For `error` and `lost` a span has it as `error.type`, for any other outcome as
   * `valet.outcome.reason`. No error type explains outcomes of both kinds.
   */
  readonly outcomes: readonly Exclude<Outcome, "ok">[];
  /** The parts that may report it first. Empty if only earlier versions reported it; their sessions still store it. */
  readonly reporters: readonly ("worker" | "session-agent" | "runner" | "broker")[];
  /** Empty if it is only ever the cause of another one. */
  readonly ends: readonly Ended[];
  /** Whether open descendants of the span end with the same error type. */
  readonly cuts?: true;
  /** Whether the SessionAgent may ask the runner to abort an attempt for this reason. */
  readonly aborts?: true;
  /** Whether the runner tries the next model of the preference list. */
  readonly failsOver?: true;
  /** Whether it may lie in what a session keeps from its creation (the repository's URL, credentials and branch), which no wake changes. */
  readonly isOfCreation?: true;
  /** What happened. */
  readonly meaning: string;
  /** What a person can do about it; `null` if there is nothing to do. */
  readonly remedy: string | null;
}

/** The spans of an attempt while the agent works. An abort ends all of them. */
const WORK = ["turn", "step", "agent", "call", "retry", "tool", "request", "compaction", "child_spawn"] as const;
/** The same, and the execution of a workflow, which ends with a step's failure under a name of its own. */
const ALL_WORK = [...WORK, "execution"] as const;
/** What the runner does before it is ready. */
const BOOT = [
  "bootstrap",
  "connect",
  "opencode_start",
  "warm_up",
  "repository_config",
  "mcp",
  "git_setup",
  "git_clone",
  "git_checkout",
  "git_submodules",
  "git_config",
] as const;
/** A job whose session cannot start, and that start. */
const JOB_AND_START = ["message", "workflow", "wait", "start"] as const;

/** The spans that connect to the repository's remote, and the job and start that fail with them. */
const GIT_REMOTE = [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules"] as const;

/** Where a remedy sends its reader. */
const BROKER_LOG = "the broker's log (`valet up` prints it)";
const RUNNER_LOG = "the runner's log (`log/entrypoint.log` in the sandbox's folder, or the log of its container)";
const OPENCODE_LOG = "OpenCode's log in the sandbox (`~/.local/share/opencode/log`)";
const STEP_OUTPUT = "the step's output: the explorer shows it with the step, and `valet export` writes it";
/** What a remedy asks for. */
const KEYS =
  "VALET_MODEL_API_KEY for models of VALET_MODEL_BASE_URL, the provider's own, such as ANTHROPIC_API_KEY, for others";
const CREDENTIALS = "credentials that may read it in its URL (`--repo https://user:token@host/path`)";

export const ERRORS = {
  // The sandbox and its broker
  spawn_failed: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create"],
    meaning: "the broker could not create a sandbox",
    remedy: `Read ${BROKER_LOG}, then try again.`,
  },
  restore_failed: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create"],
    meaning: "the broker could not restore a sandbox from the snapshot",
    remedy: `Read ${BROKER_LOG}, then try again.`,
  },
  snapshot_gone: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create"],
    meaning: "the broker no longer has the snapshot with the session's files",
    remedy:
      "Trying again does not bring it back. If you have a copy of the broker's snapshots, restore it from there and try again; otherwise the session's files are lost: create another session for further work.",
  },
  snapshot_failed: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: ["hibernate", "snapshot"],
    meaning: "the broker could not take a snapshot",
    remedy: `Read ${BROKER_LOG}: the disk may be full, or a file in the workspace cannot be copied.`,
  },
  sandbox_gone: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: [...JOB_AND_START, "hibernate", "snapshot", "broker_step"],
    meaning: "the sandbox no longer exists",
    remedy: "Try again: the session starts a new sandbox.",
  },
  entrypoint_failed: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: JOB_AND_START,
    meaning: "the runner crashed after every start, and the broker stopped restarting it",
    remedy: `Read the end of ${RUNNER_LOG}, and check whether the machine has run out of memory.`,
  },
  entrypoint_ended: {
    outcomes: ["error"],
    reporters: ["broker", "session-agent"],
    ends: JOB_AND_START,
    meaning: "the runner exited, with an exit code that says that a restart will not help",
    remedy: `Read the end of ${RUNNER_LOG}: its settings may be wrong, or from another version.`,
  },
  sandbox_timeout: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "create", "hibernate", "snapshot"],
    meaning: "the broker gave up on a sandbox or a snapshot because it took too long",
    remedy:
      "Check the load of the broker's disk and the size of the workspace, or raise VALET_BROKER_CALL_MS or VALET_SNAPSHOT_MS.",
  },
  broker_unreachable: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "hibernate", "terminate", "create", "snapshot", "delete"],
    meaning: "the SessionAgent could not connect to the broker",
    remedy: "Check that the broker is running and that SANDBOX_BROKER_URL is its URL.",
  },
  broker_timeout: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "hibernate", "terminate", "create", "snapshot", "delete"],
    meaning: "the broker did not answer in time",
    remedy: `Check the load of the broker's machine, and read ${BROKER_LOG}; a slow machine needs a higher VALET_BROKER_CALL_MS.`,
  },
  broker_error: {
    outcomes: ["error"],
    reporters: ["session-agent", "broker"],
    ends: [...JOB_AND_START, "hibernate", "terminate", "create", "snapshot", "delete", "broker_step"],
    meaning: "the broker returned an error that has no more specific type",
    remedy: `Read ${BROKER_LOG}.`,
  },
  broker_full: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["create"],
    meaning: "the broker runs as many sandboxes as it can; the start waits until one ends, then continues",
    remedy:
      "Nothing has failed. If sessions wait for long, give the broker's machine more memory and raise VALET_BROKER_MAX_SANDBOXES, or lower VALET_IDLE_TIMEOUT_MS, so that sessions hibernate sooner.",
  },
  broker_stopped: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [],
    meaning:
      "the sandbox was stopped with its broker (`valet up`, or the broker's service), which somebody ended or restarted",
    remedy:
      "Send the work again. Before the next restart, wait until no session works; a broker that drains (SIGUSR2) starts no new ones meanwhile.",
  },
  broker_lost: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [],
    meaning: "the sandbox ended with its broker (`valet up`, or the broker's service) or its machine, which died",
    remedy:
      "Send the work again. If it recurs, find out what ended the broker or its machine: the kernel's log names processes that were killed because memory had run out.",
  },
  breaker_open: {
    outcomes: ["error"],
    reporters: [],
    ends: ["message", "workflow", "wait"],
    meaning: "the session gave up after too many failed starts",
    remedy: "Send a message to try again.",
  },
  stale_generation: {
    outcomes: ["superseded"],
    reporters: ["session-agent"],
    ends: ["create", "bootstrap", "connect"],
    meaning: "the session has a newer sandbox",
    remedy: null,
  },
  // The runner and its link
  runner_never_ready: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: JOB_AND_START,
    meaning: "the sandbox was running, but its runner was not ready in time",
    remedy: `Look at the last stage that the start reached (\`valet trace\` shows them), and read ${RUNNER_LOG}. A slow machine needs a higher VALET_START_MS.`,
  },
  runner_lost: {
    outcomes: ["error", "lost"],
    reporters: ["session-agent", "runner"],
    ends: [...JOB_AND_START, "dispatch", ...ALL_WORK, "finalize", "changes", ...BOOT],
    cuts: true,
    meaning: "the runner was disconnected for longer than the grace period, or its sandbox has stopped",
    remedy: "Try again. If it recurs, the sandbox may be out of memory: raise VALET_SANDBOX_MEMORY_BYTES.",
  },
  runner_replaced: {
    outcomes: ["superseded"],
    reporters: ["runner"],
    ends: ["bootstrap", "connect"],
    meaning: "another runner of the same sandbox took over the link",
    remedy: null,
  },
  runner_shutdown: {
    outcomes: ["aborted"],
    reporters: ["runner"],
    ends: [...ALL_WORK, ...BOOT],
    cuts: true,
    aborts: true,
    meaning: "the runner was stopped",
    remedy: null,
  },
  token_refused: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["bootstrap", "connect"],
    meaning: "the SessionAgent refused the runner's token",
    remedy: null,
  },
  protocol_unsupported: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: [...JOB_AND_START, "bootstrap", "connect"],
    meaning: "the runner and the Worker use different versions of the link's protocol",
    remedy: "Deploy the Worker and the sandboxes' runner in the same version, the Worker first; then try again.",
  },
  send_failed: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "dispatch"],
    meaning: "the link broke while the SessionAgent was sending",
    remedy: "Try again.",
  },
  not_accepted: {
    outcomes: ["error"],
    reporters: ["session-agent", "runner"],
    ends: ["message", "workflow", "dispatch"],
    meaning: "the runner refused the dispatch, or did not acknowledge it in time",
    remedy: "Try again. If it recurs, the sandbox's runner may be an older version.",
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
    isOfCreation: true,
    meaning: "the clone failed for a reason that has no more specific type",
    remedy: "Check the repository's URL, and that sandboxes can reach its host.",
  },
  git_certificate_untrusted: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning:
      "git does not trust the certificate of the repository's host: it is self-signed, from an unknown authority, expired, or for another name",
    remedy:
      "Set GIT_SSL_CAINFO or SSL_CERT_FILE, where `valet up` or the broker runs, to a file with the authorities to trust; in a container image, install the authority.",
  },
  git_host_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    isOfCreation: true,
    meaning: "the name of the repository's host could not be resolved",
    remedy: "Check the spelling of the host in the repository's URL, and that sandboxes can resolve names.",
  },
  git_unreachable: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    isOfCreation: true,
    meaning:
      "git could not connect to the repository's host: the connection was refused or reset, or there is no route",
    remedy:
      "Check the host and the port in the repository's URL, and that no proxy or firewall keeps sandboxes from reaching it.",
  },
  git_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    isOfCreation: true,
    meaning: "the host has no such repository, or hides it without credentials",
    remedy: `Check the path in the repository's URL; for a private repository, create the session with ${CREDENTIALS}.`,
  },
  git_not_a_repository: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    isOfCreation: true,
    meaning: "the URL does not serve a git repository but, for example, a web page or a redirect to a login",
    remedy: `Use the URL that \`git clone\` takes, not that of the repository's web page; if it needs a login, create the session with ${CREDENTIALS}; and check that no proxy or captive portal answers in its place.`,
  },
  git_repository_damaged: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: GIT_REMOTE,
    meaning: "git cannot read objects of the repository, at its host or in the sandbox: they are corrupt or empty",
    remedy:
      "Run `git fsck` where the repository is hosted, and restore what it names; if it finds nothing, create a new session.",
  },
  git_auth_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules"],
    isOfCreation: true,
    meaning: "the remote refused the credentials, or there were none",
    remedy: `Create the session with ${CREDENTIALS}.`,
  },
  git_ref_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules"],
    isOfCreation: true,
    meaning: "the branch or ref does not exist",
    remedy:
      "Check the spelling of the branch or ref, and create the session again (`--branch`, or `branch` in the API).",
  },
  git_no_default_branch: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_checkout"],
    isOfCreation: true,
    meaning: "the remote's HEAD names no branch, and the session asks for none",
    remedy:
      "Create the session with the branch to check out (`--branch`, or `branch` in the API), or fix the HEAD of the remote.",
  },
  git_submodule_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["git_submodules"],
    meaning: "some submodules could not be checked out; the agent works without them",
    remedy:
      "Check their URLs: only https and ssh are allowed, and credentials are only used for the repository's own host.",
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
    meaning: "git cannot read the repository in a workspace that already exists; the agent continues in it as it is",
    remedy: "Ask the agent to repair the repository.",
  },
  git_config_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_config"],
    meaning: "git could not be configured",
    remedy:
      "Check that the sandbox's disk is writable and not full; the limit on its files is VALET_SANDBOX_DISK_BYTES.",
  },
  changes_unknown: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["changes"],
    meaning: "what the turn changed is unknown; `valet.changes.unknown` says why",
    remedy: null,
  },
  git_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap", "git_setup", "git_clone", "git_checkout", "git_submodules", "git_config"],
    meaning: "git did not finish in time",
    remedy:
      "Check that sandboxes can reach the repository's host; a very large repository needs a higher VALET_START_MS.",
  },
  secrets_lost: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "bootstrap"],
    meaning: "a restarted runner did not find the keys, which a sandbox receives only once",
    remedy:
      "Nothing to do: the session gets a new sandbox, with its files and with the keys. If it recurs, check whether the sandbox's disk is full.",
  },
  // The agent
  opencode_unhealthy: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "turn", "step", "agent", "finalize", "bootstrap", "opencode_start"],
    meaning: "OpenCode did not become healthy in time",
    remedy: "Check the load of the sandbox's machine, and the repository's configuration of OpenCode.",
  },
  wall_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, "turn", "step", "agent", "bootstrap", "opencode_start"],
    meaning: "the wall between the agent and the machine could not be built, so nothing of the agent was started",
    remedy: `Read the reason in ${RUNNER_LOG}. \`valet doctor\` on the sandbox's machine says whether walls can be built there, and what is missing.`,
  },
  repository_config_invalid: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["repository_config"],
    meaning: "part or all of the repository's configuration of OpenCode cannot be read",
    remedy: `Fix the files that ${RUNNER_LOG} names, for example \`opencode.json\`.`,
  },
  mcp_server_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["mcp"],
    meaning:
      "an MCP server of the repository's configuration did not start, did not answer or ended; the agent works without its tools",
    remedy: "Check the server's command or URL, and whether the sandbox can run or reach it.",
  },
  agent_warm_up_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["warm_up"],
    meaning: "OpenCode did not complete the warm-up; the first message takes longer, and nothing else is affected",
    remedy: "Nothing to do. If it recurs, check that OpenCode knows the default model (VALET_MODEL).",
  },
  agent_needed: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["warm_up"],
    meaning: "the agent was needed before its warm-up was complete",
    remedy: null,
  },
  opencode_died: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, ...WORK, "bootstrap", "opencode_start", "warm_up"],
    cuts: true,
    meaning: "the OpenCode process exited unexpectedly",
    remedy: "Try again. If it recurs, the sandbox may be out of memory: raise VALET_SANDBOX_MEMORY_BYTES.",
  },
  opencode_hung: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK, "warm_up"],
    cuts: true,
    meaning: "the OpenCode process no longer answered, and the runner killed it",
    remedy: "Try again: OpenCode is restarted. If it recurs, check the load and the memory of the sandbox's machine.",
  },
  opencode_error: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent", "call", "compaction"],
    meaning: "OpenCode reported an error that has no more specific type",
    remedy: `Read ${OPENCODE_LOG}.`,
  },
  opencode_stopped: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "OpenCode stopped working on the prompt during an answer, without reporting it",
    remedy: `Check that the disk of the sandbox is not full, and read ${OPENCODE_LOG}; then send the message again.`,
  },
  stuck_turn: {
    outcomes: ["error"],
    reporters: ["runner", "session-agent"],
    ends: ["message", "workflow", ...ALL_WORK],
    cuts: true,
    aborts: true,
    meaning: "the watchdog ended a turn that made no more progress",
    remedy:
      "Look in `valet trace` for the span that was open the longest: it is what did not answer. If it only needs more time, raise VALET_STUCK_TURN_MS.",
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
    meaning: "a person rejected the permission request, or declined to answer the agent's questions",
    remedy: null,
  },
  tool_call_invalid: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["tool"],
    meaning: "the model called a tool that does not exist, or passed it invalid arguments",
    remedy: null,
  },
  tool_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["tool"],
    meaning: "the agent's own time limit killed the tool's command",
    remedy: "Ask the agent to use a longer limit, or to run the command in the background.",
  },
  tool_stuck: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "a tool ran long past its own time limit: a process that it started holds its output open",
    remedy: "Ask the agent to redirect the output of long-running processes, as in `server > server.log 2>&1 &`.",
  },
  // The limits of the sandbox
  sandbox_out_of_memory: {
    outcomes: ["error"],
    reporters: ["runner", "session-agent"],
    ends: [...JOB_AND_START, ...WORK, "bootstrap", "opencode_start", "warm_up"],
    cuts: true,
    meaning: "the sandbox reached its limit on memory, and processes in it were killed",
    remedy: "Let the agent do less at once, or raise VALET_SANDBOX_MEMORY_BYTES.",
  },
  sandbox_out_of_processes: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, ...WORK, "bootstrap", "opencode_start", "warm_up"],
    cuts: true,
    meaning: "the sandbox reached its limit on processes and threads, and could not start another one",
    remedy: "Let the agent end what it has left running, or raise VALET_SANDBOX_PROCESSES.",
  },
  sandbox_disk_full: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, ...WORK, "bootstrap", "opencode_start", "warm_up"],
    cuts: true,
    meaning: "the sandbox's files reached their limit, and the runner killed the agent's processes",
    remedy: "Ask the agent to delete what it does not need, or raise VALET_SANDBOX_DISK_BYTES.",
  },
  sandbox_out_of_files: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: [...JOB_AND_START, ...WORK, "bootstrap", "opencode_start", "warm_up"],
    cuts: true,
    meaning: "a process of the sandbox had as many files open as it may",
    remedy: "Let the program close what it does not use, or raise VALET_SANDBOX_OPEN_FILES.",
  },
  // Work that leads nowhere
  no_model_call: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent"],
    meaning: "the agent accepted the prompt but called no model",
    remedy: "Try again. If it recurs, create a new session.",
  },
  attachment_unreadable: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent", "call", "compaction"],
    meaning: "the agent cannot read an attachment, for example a damaged image",
    remedy: "Send the file in another form.",
  },
  empty_answer: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step", "agent", "call", "compaction"],
    meaning: "the model's answer contained neither visible text nor a tool call",
    remedy: "Ask again, or use another model.",
  },
  useless_answers: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "three of the model's answers in a row had neither a tool call nor a finish reason",
    remedy: "Check that the provider's URL (VALET_MODEL_BASE_URL) serves a model, and that it sends finish reasons.",
  },
  agent_loop: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "the agent called the same tool with the same arguments five times and got the same result",
    remedy: "Tell the agent what to do instead. Add tools that are meant to be polled to VALET_POLLING_TOOLS.",
  },
  model_call_limit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "the turn reached the limit on its model calls",
    remedy: "Split the task, or raise VALET_MAX_MODEL_CALLS.",
  },
  turn_time_limit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", ...WORK],
    cuts: true,
    meaning: "the turn reached its time limit",
    remedy: "Split the task, or raise VALET_MAX_TURN_MS.",
  },
  // The model and its provider
  model_chain_exhausted: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step"],
    meaning: "every model of the preference list failed",
    remedy: "Run `valet why`: it says why each model failed.",
  },
  model_unknown: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["message", "workflow", "turn", "step"],
    meaning: "the agent knows no such model, or its provider has no key",
    remedy: `Check the model's name (VALET_MODEL, or what the session asks for), and that its provider's key is set: ${KEYS}. Or create a session with another model.`,
  },
  provider_rate_limited: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider answered 429, or reported its own equivalent",
    remedy: "Wait, or give the session another model to fall back on (`models` in the API).",
  },
  provider_overloaded: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider answered 503 or 529, or reported its own equivalent",
    remedy: "Wait, or give the session another model to fall back on (`models` in the API).",
  },
  provider_unavailable: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the agent could not connect to the provider, or the connection broke before an answer",
    remedy: "Check the provider's URL (VALET_MODEL_BASE_URL), and that sandboxes can reach it.",
  },
  provider_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider answered 500, 502 or another 5xx: it is broken, or what stands before it",
    remedy: "Check the provider's status, or give the session another model to fall back on (`models` in the API).",
  },
  provider_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider did not answer in time",
    remedy: "Check the provider's status, or give the session another model to fall back on (`models` in the API).",
  },
  provider_auth_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider answered 401 or 403",
    remedy: `Check the provider's key, and that it may use this model: ${KEYS}. Sandboxes that start afterwards have the new key.`,
  },
  provider_bad_request: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider answered 400, 422 or another 4xx: it rejects the request",
    remedy:
      "Check that the model takes tool calls and what the session asks of it. What it rejects is in the provider's own log; with OTEL_CAPTURE_CONTENT=true, `valet why` shows what it said. Or use another model.",
  },
  provider_not_found: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "there is no such model at the provider, or nothing at its URL's path (404)",
    remedy:
      "Check the model's name, and the path of the provider's URL (VALET_MODEL_BASE_URL), which mostly ends with /v1. `valet doctor` asks the provider for its models.",
  },
  provider_out_of_credit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider answered 402: its account has no credit left",
    remedy: "Add credit at the provider, or give the session another model to fall back on (`models` in the API).",
  },
  provider_stream_cut: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider's answer broke off",
    remedy:
      "Try again. If it recurs, look for a proxy before the provider (VALET_MODEL_BASE_URL) that ends long answers.",
  },
  provider_bad_response: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the provider's answer cannot be parsed: it is not JSON, or does not follow the protocol",
    remedy:
      "Check that the provider's URL (VALET_MODEL_BASE_URL) serves a model, with the path that its API has, and that no login page or proxy answers in its place; or use another model.",
  },
  context_overflow: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the input is larger than the model's context",
    remedy: "Use a model with a larger context, or a new session.",
  },
  output_limit: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["agent", "call", "compaction", "retry"],
    failsOver: true,
    meaning: "the answer was cut off at the token limit and is unusable",
    remedy: "Ask for less at once, or use a model with a larger output.",
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
    ends: ["message", "workflow", "dispatch", ...ALL_WORK],
    cuts: true,
    aborts: true,
    meaning: "a person aborted it",
    remedy: null,
  },
  steered: {
    outcomes: ["superseded"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "dispatch", ...ALL_WORK],
    cuts: true,
    aborts: true,
    meaning: "a message in mode `steer` replaced it",
    remedy: null,
  },
  withdrawn: {
    outcomes: ["aborted"],
    reporters: ["session-agent"],
    ends: ["message", "workflow", "wait"],
    meaning: "the sender withdrew the message",
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
    meaning: "work arrived while the hibernate could still be cancelled",
    remedy: null,
  },
  session_hibernated: {
    outcomes: ["aborted"],
    reporters: ["runner"],
    ends: ["message", "workflow", "dispatch", ...ALL_WORK],
    cuts: true,
    aborts: true,
    meaning: "the session was hibernated in the meantime",
    remedy: null,
  },
  session_terminated: {
    outcomes: ["aborted"],
    reporters: ["session-agent"],
    ends: [
      ...JOB_AND_START,
      "capacity_wait",
      "dispatch",
      ...ALL_WORK,
      "hibernate",
      "create",
      "snapshot",
      "delete",
      "child_spawn",
    ],
    cuts: true,
    aborts: true,
    meaning: "the session was terminated in the meantime",
    remedy: null,
  },
  // Workflows and child sessions
  workflow_invalid: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["workflow", "dispatch"],
    meaning: "the runner could not parse the workflow",
    remedy: "Check that sandboxes run the same version as the Worker.",
  },
  workflow_step_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["workflow", "execution"],
    meaning: "a step failed",
    remedy: "Run `valet why`: it names the step that failed first, and why.",
  },
  command_failed: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["step"],
    meaning: "a step's command exited with a nonzero exit code, or was killed by a signal",
    remedy: `Read ${STEP_OUTPUT}.`,
  },
  command_timeout: {
    outcomes: ["error"],
    reporters: ["runner"],
    ends: ["step"],
    meaning: "a step's command reached its time limit and was killed",
    remedy: `Read ${STEP_OUTPUT}; split the command, make it faster, or raise VALET_STUCK_TURN_MS.`,
  },
  previous_step_failed: {
    outcomes: ["skipped"],
    reporters: ["runner"],
    ends: ["step"],
    meaning: "an earlier step failed, and the workflow stops after a failure",
    remedy: null,
  },
  child_session_refused: {
    outcomes: ["error"],
    reporters: ["session-agent"],
    ends: ["child_spawn"],
    meaning: "the child session was not created",
    remedy: null,
  },
  parent_session_gone: {
    outcomes: ["skipped"],
    reporters: ["session-agent"],
    ends: ["child_report"],
    meaning: "the parent session no longer accepts messages",
    remedy: null,
  },
  // Requests that their callers did not complete
  client_closed_request: {
    outcomes: ["aborted"],
    reporters: ["worker"],
    ends: ["http_request"],
    meaning: "the caller disconnected before its request was complete",
    remedy: null,
  },
  request_timeout: {
    outcomes: ["aborted"],
    reporters: ["worker"],
    ends: ["http_request"],
    meaning: "the body of the request did not arrive in time",
    remedy: "Use a faster connection, or send a smaller body.",
  },
  // The name is OpenTelemetry's.
  _OTHER: {
    outcomes: ["error", "lost"],
    reporters: ["session-agent", "runner", "broker"],
    ends: [],
    meaning: "no other error type applies: a bug in Valet",
    remedy: "Please report it, with the trace.",
  },
} as const satisfies Record<string, ErrorDefinition>;

/** Why an outcome is not `ok`. */
export type ErrorType = keyof typeof ERRORS;
type Rows = typeof ERRORS;

/** The error types that explain `error` and `lost`: the values of `error.type`. */
export type FailureType = {
  [E in ErrorType]: Extract<Rows[E]["outcomes"][number], "error" | "lost"> extends never ? never : E;
}[ErrorType];
/** The error types that explain any other outcome: the values of `valet.outcome.reason`. */
export type OutcomeReason = Exclude<ErrorType, FailureType>;

/** The error types that may end one of W. */
export type EndedBy<W extends Ended> = {
  [E in ErrorType]: Extract<Rows[E]["ends"][number], W> extends never ? never : E;
}[ErrorType];
/** The error types that have this flag. */
export type Marked<M extends "cuts" | "aborts" | "failsOver"> = {
  [E in ErrorType]: Rows[E] extends { readonly [K in M]: true } ? E : never;
}[ErrorType];

const rows: Readonly<Record<ErrorType, ErrorDefinition>> = ERRORS;

export const ERROR_TYPES = Object.keys(ERRORS) as [ErrorType, ...ErrorType[]];
export const FAILURE_TYPES = ERROR_TYPES.filter(isFailureType);
export const OUTCOME_REASONS = ERROR_TYPES.filter((type) => !isFailureType(type)) as OutcomeReason[];

/** Returns whether it is a value of `error.type`, not of `valet.outcome.reason`. */
export function isFailureType(type: ErrorType): type is FailureType {
  return rows[type].outcomes.some((outcome) => outcome === "error" || outcome === "lost");
}

/** Returns the error types that may end one of these, in the table's order. */
export function endedBy<W extends Ended>(...what: W[]): EndedBy<W>[] {
  return ERROR_TYPES.filter((type) => rows[type].ends.some((each) => (what as Ended[]).includes(each))) as EndedBy<W>[];
}

/** Returns the error types that have this flag, in the table's order. */
export function marked<M extends "cuts" | "aborts" | "failsOver">(mark: M) {
  return ERROR_TYPES.filter((type) => rows[type][mark] === true) as [Marked<M>, ...Marked<M>[]];
}

/** Returns whether this part may report the error type: as the first, or, for the runner, as the reason of an abort. */
export function isSaidBy(type: ErrorType, reporter: ErrorDefinition["reporters"][number]): boolean {
  return rows[type].reporters.includes(reporter) || (reporter === "runner" && rows[type].aborts === true);
}

/** Returns the error type of this name; `_OTHER` for a name that this version does not know. */
export function knownErrorType(name: string): ErrorType {
  return ERROR_TYPES.find((type) => type === name) ?? "_OTHER";
}

/** Returns whether the failure may lie in what the session keeps from its creation, so that waking it alone does not help. */
export function isOfCreation(type: string): boolean {
  return rows[knownErrorType(type)].isOfCreation === true;
}

/** Returns what happened and what a person can do, in whole sentences. */
export function explain(type: ErrorType): string {
  const { meaning, remedy } = rows[type];
  const sentence = `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`;
  return remedy === null ? sentence : `${sentence} ${remedy}`;
}
