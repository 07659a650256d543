/**
 * The environment variables of Valet's own programs, once: who reads them, what they mean and what counts where one is unset or
 * empty. Readers take names and defaults from here, and the tables of the documentation are made from it. OpenTelemetry's
 * variables have a table of their own, beside the tracer.
 */
import { LIMITS } from "./limits.ts";
import { CONTENT_MAX_BYTES } from "./protocol/captured-content.ts";
import { DEFAULT_TURN_BOUNDS } from "./protocol/turn.ts";

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
      "keys that seal git credentials at rest, newest first: 32 bytes in base64 each, separated by commas; a secret. Without it the key derives from `SANDBOX_BROKER_SECRET`",
  },
  VALET_MODEL: { required: true, meaning: "the default model, as `provider/model`" },
  VALET_MODEL_BASE_URL: {
    meaning:
      "an OpenAI-compatible endpoint; its models are `valet/<name>`. A message may ask for those of its session (`model`, `models`) and for `VALET_MODEL`; any other model of this endpoint is refused. Without a key of a provider, sandboxes know the models of this endpoint only. These models take text only: a note replaces an attached image or PDF, and tells the model to say that it cannot read the file",
  },
  VALET_MODEL_API_KEY: { meaning: "that endpoint's key; a secret" },
  VALET_MODEL_PRICES: {
    meaning:
      "the prices of that endpoint's models, `INPUT/OUTPUT[/CACHE_READ[/CACHE_WRITE]]` in USD per million tokens: `0.6/2.4/0.06`; without it their cost is unknown",
  },
  VALET_MAX_AWAKE: {
    meaning:
      "how many sandboxes may be awake at once, over all sessions; without it only the broker's own limit applies",
  },
  VALET_MAX_STARTING: { meaning: "how many sandboxes may start at once; without it their number is not limited" },
  VALET_MAX_MODEL_CALLS: {
    default: DEFAULT_TURN_BOUNDS.maxModelCalls,
    meaning: "requests to models after which a turn ends (`model_call_limit`), retries and sub-agents included",
  },
  VALET_MAX_TURN_MS: {
    default: DEFAULT_TURN_BOUNDS.maxTurnMs,
    meaning: "how long a turn may take (`turn_time_limit`), without the time that it waits for a person",
  },
  VALET_POLLING_TOOLS: {
    default: DEFAULT_TURN_BOUNDS.pollingTools.join(","),
    meaning:
      "tools, separated by commas, that an agent may call repeatedly with the same arguments. For any other tool the turn ends with `agent_loop` when the same call has returned the same result five times, with nothing new in between",
  },
  VALET_ALLOW_FILE_REPOS: {
    default: "false",
    meaning:
      "`true`: sessions may clone from `file:` URLs. Use it only if every user of the API may read the machine of the sandboxes; `valet up` sets it",
  },
  VALET_WEBHOOKS_ALLOW_PRIVATE: {
    default: "false",
    meaning:
      "`true`: webhooks may be sent to private addresses and local names, and by http to this machine; repositories there are asked for before a session is created. Use it only if everybody with a token may reach what the Worker reaches",
  },
  VALET_TRACE_URL_TEMPLATE: {
    meaning:
      "URL of a trace at the backend, with `{traceId}` for its id: `https://jaeger.example/trace/{traceId}`. The session explorer links each trace to it",
  },
  VALET_PROVIDER_TRACEPARENT: {
    default: "true",
    meaning: "`false`: model calls carry no `traceparent` to their provider or gateway",
  },
  VALET_PROVIDER_TRACESTATE_HOSTS: {
    meaning:
      "hosts of providers and gateways, `host` or `host:port`, separated by commas, to which model calls also carry the `tracestate`, which holds what others have written; without it, to none",
  },
  VALET_CONTENT_MAX_BYTES: {
    default: CONTENT_MAX_BYTES,
    meaning:
      "how long each attribute with content may be where content is captured (`OTEL_CAPTURE_CONTENT`), in bytes of UTF-8, 256 to 65536; a longer one is cut within its texts, so that it stays JSON. Set it no higher than what the backend keeps of an attribute",
  },
  VALET_COMMIT_TRAILERS: {
    default: "true",
    meaning:
      "`false`: commits of agents and of workflows' commands get no trailers `Valet-Session`, `Valet-Message` and `Valet-Trace`, and git sees only the repository's own hooks",
  },
  VALET_AGENT_OTLP: {
    default: "off",
    meaning:
      "`on`: programs that commands of agents and of workflows run send their traces to the session's: such a command also gets `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL` and `_HEADERS`. A session may set its own (`agentOtlp`). Off by default, since these variables switch on exporters in the users' own programs",
  },
  VALET_IDLE_TIMEOUT_MS: {
    default: 15 * 60_000,
    meaning: "how long a session may be idle before it hibernates; a session may set its own (`idleTimeoutMs`)",
  },
  VALET_RETENTION_DAYS: {
    default: 30,
    meaning:
      "how many days after its end a terminated session is deleted, with its conversation and its traces; a fraction is allowed",
  },
  VALET_GRACE_MS: {
    default: LIMITS.graceMs,
    meaning: "how long a runner may take to reconnect before it counts as lost",
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
      "how long a turn may bring no event of the agent before it counts as stuck, and how long a command of a workflow may run; below 45 s, a hanging agent is detected sooner, too",
  },
  VALET_ABORT_MS: {
    default: LIMITS.abortMs,
    meaning: "how long the runner may take to answer an abort before the object continues without it",
  },
  VALET_STOP_MS: {
    default: LIMITS.stopMs,
    meaning: "how long the runner may take to shut down before the object continues without it",
  },
  VALET_RECOVERY_BACKOFF_MS: {
    default: 5000,
    meaning:
      "the wait before a session's first start is retried while the broker is away; it doubles with each retry. A lost sandbox is replaced at once, and retries of that start wait twice and four times as long",
  },
  VALET_RECOVERY_HELD_MS: {
    default: 10 * 60_000,
    meaning: "a sandbox that was ready for this long resets the count of recovery attempts when it is lost",
  },
  VALET_COLLECT_DEBOUNCE_MS: { default: 1500, meaning: "from the last message of a batch to its dispatch" },
  VALET_COLLECT_MAX_MS: { default: 15_000, meaning: "from the first message of a batch to its dispatch, at most" },
  VALET_QUEUE_WATCHDOG_MS: { default: 60_000, meaning: "how often the object checks a queue that makes no progress" },
  VALET_RETRY_MS: {
    default: 2000,
    meaning:
      "the first delay before a failed call is retried: a write to D1, a call of another object, the end of an orphan at the broker, a dispatch that the runner refused; it doubles",
  },
} as const satisfies Record<string, Variable>;
export type WorkerVariable = keyof typeof WORKER_VARIABLES;

/** Variables of the broker. Its options take precedence. */
export const BROKER_VARIABLES = {
  VALET_BROKER_SECRET: {
    required: true,
    meaning:
      "the bearer token that callers send, at least 16 characters; several, separated by commas, are all accepted; a secret",
  },
  VALET_BROKER_DRIVER: { default: "local", meaning: "`--driver`: `local`, `docker` or `modal`" },
  VALET_BROKER_HOST: { default: "127.0.0.1", meaning: "`--host`: the address to listen on" },
  VALET_BROKER_PORT: { default: 0, meaning: "`--port`; 0 for a free one" },
  VALET_BROKER_STATE: {
    default: ".valet/broker",
    meaning: "`--state`: the folder of sandboxes and snapshots; driver `local`",
  },
  VALET_BROKER_ISOLATION: {
    meaning:
      "`--isolation`: `bwrap` or `none`; driver `local`. If not set, `bwrap` where bubblewrap works, otherwise `none` with a warning",
  },
  VALET_BROKER_MAX_SANDBOXES: {
    meaning: "`--max-sandboxes`: sandboxes awake at once; drivers `local` and `docker`. Limited by memory if not set",
  },
  VALET_DOCKER_IMAGE: {
    default: "valet-sandbox",
    meaning: "`--image`: the image of the sandboxes, made by `valet image build`; driver `docker`",
  },
  VALET_DOCKER_SCOPE: {
    default: "valet",
    meaning: "`--scope`: the name of the broker's sandboxes in the engine, for one broker at a time; driver `docker`",
  },
  VALET_DOCKER_NETWORK: {
    meaning:
      "`--network`: the engine's network that sandboxes join; driver `docker`. If not set, one of the scope's own",
  },
  DOCKER_HOST: {
    meaning:
      "the engine's address: `unix:///run/podman/podman.sock`, `tcp://…`, `ssh://…`; driver `docker`. Docker's usual socket if not set. For `tcp://…`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` count as for Docker's command",
  },
  VALET_SANDBOX_MEMORY_BYTES: {
    meaning:
      "memory of each sandbox's agent and its child processes, in bytes, at least 268435456; drivers `local` and `docker`. If not set, half of the machine's, and no less than 2 GiB",
  },
  VALET_SANDBOX_CPUS: {
    meaning:
      "how many processors' time they may use, a fraction is allowed; drivers `local` and `docker`. If not set, all of the machine's",
  },
  VALET_SANDBOX_PROCESSES: {
    default: 4096,
    meaning: "how many processes and threads they may have, at least 64; drivers `local` and `docker`",
  },
  VALET_SANDBOX_DISK_BYTES: {
    meaning:
      "how much the sandbox's folders may take on disk, in bytes; drivers `local` and `docker`. If not set, half of the file system's size",
  },
  VALET_SANDBOX_OPEN_FILES: {
    default: 65_536,
    meaning: "how many files each of their processes may have open, at least 256; drivers `local` and `docker`",
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
  VALET_GENERATION: { required: true, meaning: "the number of the sandbox within its session, from 1" },
  VALET_RUNNER_URL: { required: true, meaning: "the WebSocket URL at which the runner reaches its session" },
  HOME: { required: true, meaning: "the agent's home" },
  VALET_WORKSPACE: { meaning: "the repository's folder; if not set, the folder in which the entrypoint starts" },
  VALET_RUNNER_STATE: {
    meaning: "the folder where the runner keeps what its successor needs; if not set, `.valet-runner` in `HOME`",
  },
  VALET_AGENT_FOLDER: {
    meaning:
      "the folder of the agent's configuration, which the agent may read; if not set, that of `VALET_RUNNER_STATE`",
  },
  VALET_RESTORED: { default: "0", meaning: "`1`: the sandbox was made from a snapshot" },
  VALET_SANDBOX_ID: { meaning: "the broker's id of the sandbox" },
  VALET_LIFELINE_FD: { meaning: "a descriptor that is closed when the host dies; driver `local`" },
  VALET_STARTED_AHEAD: {
    default: "0",
    meaning:
      "`1`: the entrypoint was started before its sandbox was asked for, waits for its input without a limit, and gets the other variables with it; driver `local`",
  },
  VALET_ALLOW_FILE_REPOS: { default: "0", meaning: "`1`: repositories on the sandbox's machine may be cloned" },
  VALET_COMMIT_TRAILERS: { default: "1", meaning: "`0`: commits get no trailers that name the session" },
  VALET_ISOLATION: {
    default: "none",
    meaning:
      "`bwrap`: the agent and its commands run behind a wall of bubblewrap; `user`: as the user `valet`, in a container; `none`: the sandbox itself is the wall, or there is none",
  },
  VALET_NETWORK_FOLDER: {
    meaning:
      "the folder for the sockets between the runner and a network of the sandbox's own, behind a wall of bubblewrap; if not set, the sandbox shares the machine's network",
  },
  VALET_SANDBOX_LIMITS: {
    meaning:
      "JSON: the limits of the agent's processes, by what they hold, and the folders of their control group; without it there are none",
  },
  VALET_MAX_ALONE_MS: {
    meaning:
      "how long the runner goes on without a connection to its session and without work, in ms, before it ends and leaves its files; for ever if not set",
  },
} as const satisfies Record<string, Variable>;

/** Variables of the `valet` commands. Their options take precedence. */
export const CLI_VARIABLES = {
  VALET_STATE: { default: ".valet", meaning: "`--state`: the state directory of `valet up`" },
  VALET_URL: { meaning: "`--url`: the URL of another Valet" },
  VALET_TOKEN: { meaning: "`--token`: that Valet's bearer token; a secret" },
  VALET_QUERY_AUTHORIZATION: {
    meaning: "`--query-header` of `valet smoke`: the `Authorization` header for the backend's query API; a secret",
  },
} as const satisfies Record<string, Variable>;
export type CliVariable = keyof typeof CLI_VARIABLES;
