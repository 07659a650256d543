/**
 * The environment variables of Valet's own programs, once: who reads them, what they mean and what counts where one is unset or
 * empty. Readers take names and defaults from here, and the tables of the documentation are made from it. OpenTelemetry's
 * variables have a table of their own, beside the tracer.
 */
import { LIMITS } from "./limits.ts";
import { DEFAULT_TURN_BOUNDS } from "./protocol/runner-link.ts";

/** What the table says of one variable. */
export interface Variable {
  readonly meaning: string;
  /** As it would be written. Absent where nothing stands in for it. */
  readonly default?: string | number;
  /** Whether the program does not start without it. */
  readonly required?: true;
}

/** Variables and secrets of the Worker. `valet up` passes on those that it is started with. */
export const WORKER_VARIABLES = {
  PUBLIC_URL: { required: true, meaning: "where runners reach the Worker: `https://valet.<you>.workers.dev`" },
  SANDBOX_BROKER_URL: { required: true, meaning: "where the Worker reaches the broker" },
  SANDBOX_BROKER_SECRET: { required: true, meaning: "the broker's `VALET_BROKER_SECRET`; a secret" },
  VALET_CREDENTIAL_KEYS: {
    meaning:
      "keys that seal git credentials at rest, newest first: 32 bytes in base64 each, separated by commas; a secret. Without it a key derived from `SANDBOX_BROKER_SECRET` is used",
  },
  VALET_MODEL: { required: true, meaning: "the model to use where nobody asks for another, as `provider/model`" },
  VALET_MODEL_BASE_URL: {
    meaning:
      "an OpenAI-compatible endpoint; its models are `valet/<name>`. Of them a session's messages may ask for those that it was made with (`model`, `models`) and for `VALET_MODEL`; any other is refused",
  },
  VALET_MODEL_API_KEY: { meaning: "that endpoint's key; a secret" },
  VALET_MODEL_PRICES: {
    meaning:
      "what that endpoint's models cost, `INPUT/OUTPUT[/CACHE_READ[/CACHE_WRITE]]` in USD per million tokens: `0.6/2.4/0.06`; without it no cost is known",
  },
  VALET_MAX_AWAKE: {
    meaning:
      "how many sandboxes may be awake at once, over all sessions; without it the broker's own bound is the only one",
  },
  VALET_MAX_STARTING: { meaning: "how many sandboxes may start at once; without it the broker's own limit applies" },
  VALET_MAX_MODEL_CALLS: {
    default: DEFAULT_TURN_BOUNDS.maxModelCalls,
    meaning: "requests to models after which a turn ends (`model_call_limit`), retries and sub-agents included",
  },
  VALET_MAX_TURN_MS: {
    default: DEFAULT_TURN_BOUNDS.maxTurnMs,
    meaning: "how long a turn may take (`turn_time_limit`), in milliseconds, waits for a person apart",
  },
  VALET_POLLING_TOOLS: {
    default: DEFAULT_TURN_BOUNDS.pollingTools.join(","),
    meaning:
      "tools, separated by commas, that an agent may call with the same arguments again and again; any other ends its turn with `agent_loop` when the same call has given the same five times and nothing new came between",
  },
  VALET_ALLOW_FILE_REPOS: {
    default: "false",
    meaning:
      "`true`: sessions may clone from `file:` URLs. Only where sandboxes share the machine with whoever may use the API; `valet up` sets it",
  },
  VALET_IDLE_TIMEOUT_MS: {
    default: 15 * 60_000,
    meaning: "how long a session may be idle before it hibernates; a session may set its own (`idleTimeoutMs`)",
  },
  VALET_GRACE_MS: {
    default: LIMITS.graceMs,
    meaning: "how long a lost link may take to come back before the runner counts as lost",
  },
  VALET_ACCEPT_MS: { default: 20_000, meaning: "from sending a dispatch to its acceptance" },
  VALET_START_MS: {
    default: LIMITS.startMs,
    meaning: "from requesting a sandbox to its runner's report that it is idle",
  },
  VALET_BROKER_CALL_MS: {
    default: LIMITS.brokerCallMs,
    meaning: "one call of the broker, at most four fifths of `VALET_START_MS`",
  },
  VALET_SNAPSHOT_MS: { default: LIMITS.snapshotMs, meaning: "a snapshot call of the broker" },
  VALET_LINK_SILENCE_MS: {
    default: LIMITS.linkSilenceMs,
    meaning: "how long the runner may be silent before the link counts as lost",
  },
  VALET_STUCK_TURN_MS: {
    default: 10 * 60_000,
    meaning:
      "how long a turn may go without any event of the agent before it counts as stuck, and a workflow's command may run",
  },
  VALET_ABORT_MS: {
    default: LIMITS.abortMs,
    meaning: "how long the runner may take to answer an abort before the object continues without it",
  },
  VALET_STOP_MS: { default: LIMITS.stopMs, meaning: "the same of a shutdown" },
  VALET_RECOVERY_BACKOFF_MS: {
    default: 5000,
    meaning:
      "the delay before the second attempt to recover a sandbox, or to start one while the broker is away; it doubles",
  },
  VALET_RECOVERY_HELD_MS: {
    default: 10 * 60_000,
    meaning: "a sandbox that was ready for this long resets the count of recovery attempts when it is lost",
  },
  VALET_COLLECT_DEBOUNCE_MS: { default: 1500, meaning: "from the last message of a batch to its dispatch" },
  VALET_COLLECT_MAX_MS: { default: 15_000, meaning: "from the first message of a batch to its dispatch, at most" },
  VALET_QUEUE_WATCHDOG_MS: { default: 60_000, meaning: "how often a queue that makes no progress is checked" },
  VALET_RETRY_MS: {
    default: 2000,
    meaning:
      "the first delay before a failed write to D1, or a failed termination at the broker, is retried; it doubles",
  },
} as const satisfies Record<string, Variable>;
export type WorkerVariable = keyof typeof WORKER_VARIABLES;

/** Variables of the broker. Its options say the same and count first. */
export const BROKER_VARIABLES = {
  VALET_BROKER_SECRET: {
    required: true,
    meaning: "the bearer token that callers send, at least 16 characters; a secret",
  },
  VALET_BROKER_DRIVER: { default: "local", meaning: "`--driver`: `local` or `modal`" },
  VALET_BROKER_HOST: { default: "127.0.0.1", meaning: "`--host`: the address to listen on" },
  VALET_BROKER_PORT: { default: 0, meaning: "`--port`; 0 for a free one" },
  VALET_BROKER_STATE: {
    default: ".valet/broker",
    meaning: "`--state`: the folder of sandboxes and snapshots; driver `local`",
  },
  VALET_BROKER_MAX_SANDBOXES: {
    meaning: "`--max-sandboxes`: sandboxes awake at once; driver `local`. Limited by memory without it",
  },
  VALET_MODAL_APP: { default: "valet", meaning: "`--app`: the Modal app of the sandboxes; driver `modal`" },
  VALET_MODAL_IMAGE: { meaning: "`--image`: an image's id or its registry tag; driver `modal`, which needs it" },
  MODAL_TOKEN_ID: { meaning: "Modal's token; driver `modal`, which needs it" },
  MODAL_TOKEN_SECRET: { meaning: "the secret of the token that `MODAL_TOKEN_ID` names" },
} as const satisfies Record<string, Variable>;
export type BrokerVariable = keyof typeof BROKER_VARIABLES;

/** Variables of a sandbox's entrypoint. The Worker and the broker set them; nobody else needs to. */
export const RUNNER_VARIABLES = {
  VALET_SESSION_ID: { required: true, meaning: "the session" },
  VALET_GENERATION: { required: true, meaning: "which sandbox of the session it is, from 1" },
  VALET_RUNNER_URL: { required: true, meaning: "the WebSocket URL at which the runner reaches its session" },
  HOME: { required: true, meaning: "the agent's home" },
  VALET_WORKSPACE: { meaning: "where the repository is; the folder in which the entrypoint starts unless set" },
  VALET_RUNNER_STATE: {
    meaning: "the folder where the runner keeps what its successor needs; `.valet-runner` in `HOME` unless set",
  },
  VALET_RESTORED: { default: "0", meaning: "`1`: the sandbox was made from a snapshot" },
  VALET_SANDBOX_ID: { meaning: "the broker's id of the sandbox" },
  VALET_LIFELINE_FD: { meaning: "a descriptor that is closed when the host dies; driver `local`" },
  VALET_ALLOW_FILE_REPOS: { default: "0", meaning: "`1`: repositories of this machine may be cloned" },
} as const satisfies Record<string, Variable>;

/** Variables of the `valet` commands. Their options say the same and count first. */
export const CLI_VARIABLES = {
  VALET_STATE: { default: ".valet", meaning: "`--state`: the state directory of `valet up`" },
  VALET_URL: { meaning: "`--url`: the URL of another Valet" },
  VALET_TOKEN: { meaning: "`--token`: that Valet's bearer token; a secret" },
  VALET_QUERY_AUTHORIZATION: {
    meaning: "`--query-header` of `valet smoke`: the `Authorization` header for the backend's query API; a secret",
  },
} as const satisfies Record<string, Variable>;
export type CliVariable = keyof typeof CLI_VARIABLES;
