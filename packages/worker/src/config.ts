/** Parses the Worker's variables into a typed configuration. */
import { innerLimit } from "@valet/shared/limits";
import { ContentMaxBytes } from "@valet/shared/protocol/captured-content";
import { ModelAccess, type ModelPrices, PROVIDER_KEYS } from "@valet/shared/protocol/model-access";
import { ProviderContext } from "@valet/shared/protocol/provider-context";
import { TurnBounds } from "@valet/shared/protocol/turn";
import { type EnvironmentRecord, limitVariables } from "@valet/shared/tracing";
import { type Variable, WORKER_VARIABLES, type WorkerVariable } from "@valet/shared/variables";
import { z } from "zod";

/** Variables by their names, as the platform gives them. Text, except where somebody configured JSON. */
type Variables = Readonly<Record<string, unknown>>;

/** Timeouts and intervals, by their variables. What each means is in the table of variables. */
const INTERVAL_VARIABLES = {
  idleTimeoutMs: "VALET_IDLE_TIMEOUT_MS",
  graceMs: "VALET_GRACE_MS",
  acceptMs: "VALET_ACCEPT_MS",
  startMs: "VALET_START_MS",
  brokerCallMs: "VALET_BROKER_CALL_MS",
  snapshotMs: "VALET_SNAPSHOT_MS",
  linkSilenceMs: "VALET_LINK_SILENCE_MS",
  stuckTurnMs: "VALET_STUCK_TURN_MS",
  abortMs: "VALET_ABORT_MS",
  stopMs: "VALET_STOP_MS",
  recoveryBackoffMs: "VALET_RECOVERY_BACKOFF_MS",
  recoveryHeldMs: "VALET_RECOVERY_HELD_MS",
  collectDebounceMs: "VALET_COLLECT_DEBOUNCE_MS",
  collectMaxMs: "VALET_COLLECT_MAX_MS",
  queueWatchdogMs: "VALET_QUEUE_WATCHDOG_MS",
  retryMs: "VALET_RETRY_MS",
} as const satisfies Record<string, WorkerVariable>;

/** In milliseconds. */
export type Intervals = { readonly [K in keyof typeof INTERVAL_VARIABLES]: number };

/** Reads each interval. @param read what its variable says */
function intervalsOf(read: (variable: (typeof INTERVAL_VARIABLES)[keyof Intervals]) => number): Intervals {
  const entries = Object.entries(INTERVAL_VARIABLES).map(([name, variable]) => [name, read(variable)]);
  return Object.fromEntries(entries) as Intervals;
}

/** The defaults. Tests set short ones. */
export const INTERVALS: Intervals = intervalsOf((variable) => WORKER_VARIABLES[variable].default);

export interface Config {
  /** The URL at which runners reach the Worker; a runner connects to `ws(s)://…/runner/<session>` below it. */
  readonly publicUrl: string;
  readonly broker: { readonly url: string; readonly secret: string };
  readonly modelAccess: ModelAccess;
  /** The keys that seal git credentials at rest, newest first. */
  readonly credentialKeys: readonly Uint8Array<ArrayBuffer>[];
  readonly intervals: Intervals;
  /** How long after its end a terminated session is deleted, in ms. */
  readonly retentionMs: number;
  readonly turnBounds: TurnBounds;
  /** What model calls carry to providers. */
  readonly providerContext: ProviderContext;
  /** How long one attribute with content may be. */
  readonly contentMaxBytes: number;
}

/** The maximum number of sandboxes; `Infinity` without a limit. */
export interface CapacityLimits {
  /** Sandboxes awake at once, including those that are starting. */
  readonly awake: number;
  /** Sandboxes starting at once. */
  readonly starting: number;
}

/** A variable is missing or invalid. The message names the variable and never quotes its value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

const httpUrl = z.url({ protocol: /^https?$/ });
const millis = z.coerce
  .number()
  .int()
  .positive()
  .max(2 ** 31 - 1);

/** The size of a key that seals git credentials: AES-256. */
export const CREDENTIAL_KEY_BYTES = 32;

/** A comma-separated list of keys, each 32 bytes in base64 or base64url. */
const credentialKeys = z
  .string()
  .transform((text) => text.split(",").map((key) => new Uint8Array(Buffer.from(key.trim(), "base64"))))
  .refine(
    (keys) => keys.every(({ length }) => length === CREDENTIAL_KEY_BYTES),
    "must be comma-separated keys of 32 bytes in base64",
  );
const DAY_MS = 24 * 60 * 60_000;
const days = z.coerce.number().positive().max(36_500);
const count = z.coerce.number().int().positive().max(1_000_000);
/** A comma-separated list. */
const list = z.string().transform((text) =>
  text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== ""),
);
const names = list.pipe(TurnBounds.shape.pollingTools);
const hosts = list.pipe(ProviderContext.shape.tracestateHosts);
const yesOrNo = z.enum(["true", "false"]).transform((text) => text === "true");

/** `input/output[/cache read[/cache write]]`. */
const modelPrices = z
  .string()
  .regex(
    /^\d+(?:\.\d+)?(?:\/\d+(?:\.\d+)?){1,3}$/,
    "must be INPUT/OUTPUT[/CACHE_READ[/CACHE_WRITE]], in USD per million tokens",
  )
  .transform((text): ModelPrices => {
    const [input = 0, output = 0, cacheRead, cacheWrite] = text.split("/").map(Number);
    return {
      input,
      output,
      ...(cacheRead !== undefined && { cacheRead }),
      ...(cacheWrite !== undefined && { cacheWrite }),
    };
  });

type Read = <T>(name: WorkerVariable | (typeof PROVIDER_KEYS)[number], schema: z.ZodType<T>) => T;

/** @returns a function that reads one variable, or throws a ConfigError that names it */
function reader(env: Variables): Read {
  return (name, schema) => {
    const { [name]: value = "" } = env;
    const { default: otherwise } = (WORKER_VARIABLES as Readonly<Record<string, Partial<Variable>>>)[name] ?? {};
    const result = schema.safeParse(value === "" ? otherwise : value);
    if (result.success) return result.data;
    throw new ConfigError(`${name}: ${value === "" ? "is not set" : (result.error.issues[0]?.message ?? "invalid")}`);
  };
}

/**
 * Returns how many sandboxes may be awake, and starting, at once (`VALET_MAX_AWAKE`, `VALET_MAX_STARTING`). Without
 * these variables only the broker's own limit applies.
 * @throws ConfigError that names the invalid variable
 */
export function parseCapacity(env: Variables): CapacityLimits {
  const read = reader(env);
  const limit = z.coerce.number().int().positive().default(Infinity);
  return { awake: read("VALET_MAX_AWAKE", limit), starting: read("VALET_MAX_STARTING", limit) };
}

/** @throws ConfigError that names the first invalid variable */
export function parseConfig(env: Variables): Config {
  const read = reader(env);
  const intervals = intervalsOf((variable) => read(variable, millis));
  return {
    publicUrl: read("PUBLIC_URL", httpUrl).replace(/\/$/, ""),
    broker: {
      url: read("SANDBOX_BROKER_URL", httpUrl).replace(/\/$/, ""),
      secret: read("SANDBOX_BROKER_SECRET", z.string().min(1)),
    },
    modelAccess: readModelAccess(read),
    credentialKeys: read("VALET_CREDENTIAL_KEYS", credentialKeys.optional()) ?? [],
    intervals: { ...intervals, brokerCallMs: Math.min(intervals.brokerCallMs, innerLimit(intervals.startMs)) },
    retentionMs: read("VALET_RETENTION_DAYS", days) * DAY_MS,
    turnBounds: {
      maxModelCalls: read("VALET_MAX_MODEL_CALLS", count),
      maxTurnMs: read("VALET_MAX_TURN_MS", millis),
      pollingTools: read("VALET_POLLING_TOOLS", names),
    },
    providerContext: {
      traceparent: read("VALET_PROVIDER_TRACEPARENT", yesOrNo),
      tracestateHosts: read("VALET_PROVIDER_TRACESTATE_HOSTS", hosts.optional()) ?? [],
    },
    contentMaxBytes: read("VALET_CONTENT_MAX_BYTES", z.coerce.number().pipe(ContentMaxBytes)),
  };
}

/** @throws ConfigError that names the first variable with which an object could not start */
export function requireConfig(env: Variables): void {
  parseConfig(env);
  parseCapacity(env);
}

/**
 * Returns whether sessions may clone from `file:` URLs (`VALET_ALLOW_FILE_REPOS`). Safe only where every user of the
 * API may read the sandboxes' machine anyway, that is with the local driver.
 */
export function allowsFileRepos(env: Variables): boolean {
  return String(env.VALET_ALLOW_FILE_REPOS) === "true";
}

/**
 * Returns whether webhooks may be sent to private networks, and by http to this machine, and repositories there be asked for
 * (`VALET_WEBHOOKS_ALLOW_PRIVATE`). Safe only where everybody with a token may reach them anyway.
 */
export function allowsPrivateHosts(env: Variables): boolean {
  return String(env.VALET_WEBHOOKS_ALLOW_PRIVATE) === "true";
}

/**
 * Returns where the backend shows a trace, with `{traceId}` in its place (`VALET_TRACE_URL_TEMPLATE`). `undefined` without it, and for
 * what is no http or https URL: the page makes a link of it.
 */
export function traceUrlTemplate(env: Variables): string | undefined {
  const template = String(env.VALET_TRACE_URL_TEMPLATE ?? "");
  const protocol = URL.parse(template.replaceAll("{traceId}", "0"))?.protocol;
  const isWeb = protocol === "https:" || protocol === "http:";
  return isWeb && template.includes("{traceId}") ? template : undefined;
}

/** Returns the environment of a sandbox's entrypoint: its session, the Worker's URL, and the limits of its spans. */
export function sandboxVariables(
  env: Variables,
  publicUrl: string,
  sessionId: string,
  generation: number,
): Record<string, string> {
  return {
    ...limitVariables(env as EnvironmentRecord),
    VALET_SESSION_ID: sessionId,
    VALET_GENERATION: String(generation),
    VALET_RUNNER_URL: `${publicUrl.replace(/^http/, "ws")}/runner/${sessionId}`,
    ...(allowsFileRepos(env) && { VALET_ALLOW_FILE_REPOS: "1" }),
    ...(String(env.VALET_COMMIT_TRAILERS) === "false" && { VALET_COMMIT_TRAILERS: "0" }),
  };
}

function readModelAccess(read: Read): ModelAccess {
  const baseUrl = read("VALET_MODEL_BASE_URL", httpUrl.optional());
  const apiKey = read("VALET_MODEL_API_KEY", z.string().optional());
  const prices = read("VALET_MODEL_PRICES", modelPrices.optional());
  const keys = PROVIDER_KEYS.map((name) => [name, read(name, z.string().optional())]).filter(
    ([, key]) => key !== undefined,
  );
  return ModelAccess.parse({
    model: read("VALET_MODEL", ModelAccess.shape.model),
    ...(baseUrl !== undefined && {
      openAiCompatible: { baseUrl, ...(apiKey !== undefined && { apiKey }), ...(prices !== undefined && { prices }) },
    }),
    providerKeys: Object.fromEntries(keys),
  });
}
