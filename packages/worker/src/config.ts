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
  /** Whether programs of commands send their traces to their session, unless the session says otherwise. */
  readonly agentOtlp: boolean;
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

/** Says which variable of the deployment is wrong, and what it must be. */
export function invalidText({ message }: ConfigError): string {
  return `A variable of the deployment is wrong. ${message}.`;
}

/** Accepts text and numbers that pass `schema`. @param allowed what the variable must be, as the error says it */
function number(allowed: string, schema: z.ZodNumber): z.ZodType<number> {
  return z.union([z.string(), z.number()], allowed).transform(Number).pipe(schema);
}

/** A whole number from 1 on. */
function whole(max = Number.MAX_SAFE_INTEGER, unit = ""): z.ZodType<number> {
  const to = max === Number.MAX_SAFE_INTEGER ? "above 0" : `from 1 to ${max}`;
  const allowed = `must be a whole number${unit} ${to}`;
  return number(allowed, z.number(allowed).int(allowed).positive(allowed).max(max, allowed));
}

const text = z.string("must be text");
const httpUrl = z.url({ protocol: /^https?$/, error: "must be an http or https URL" });
const millis = whole(2 ** 31 - 1, " of milliseconds");

/** The size of a key that seals git credentials: AES-256. */
export const CREDENTIAL_KEY_BYTES = 32;

/** A comma-separated list of keys, each 32 bytes in base64 or base64url. */
const credentialKeys = text
  .transform((keys) => keys.split(",").map((key) => new Uint8Array(Buffer.from(key.trim(), "base64"))))
  .refine(
    (keys) => keys.every(({ length }) => length === CREDENTIAL_KEY_BYTES),
    "must be comma-separated keys of 32 bytes in base64",
  );
const DAY_MS = 24 * 60 * 60_000;
const MAX_DAYS = 36_500;
const DAYS = `must be a number of days above 0, at most ${MAX_DAYS}`;
const days = number(DAYS, z.number(DAYS).positive(DAYS).max(MAX_DAYS, DAYS));
const count = whole(1_000_000);
const slots = whole();
/** Whether something is switched on. */
const flag = z
  .union([z.boolean(), z.enum(["true", "false"])], "must be `true` or `false`")
  .transform((value) => String(value) === "true");
const TRACE_URL = "must be an http or https URL with `{traceId}` in it";
/** The page makes a link of it. */
const traceUrl = text.refine((template) => {
  const protocol = URL.parse(template.replaceAll("{traceId}", "0"))?.protocol;
  return (protocol === "https:" || protocol === "http:") && template.includes("{traceId}");
}, TRACE_URL);
/** A comma-separated list. */
const list = text.transform((names) =>
  names
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== ""),
);
const tools = list.refine(
  (names) => TurnBounds.shape.pollingTools.safeParse(names).success,
  "must be at most 100 names, separated by commas, each of at most 200 characters",
);
const hosts = list.pipe(ProviderContext.shape.tracestateHosts);
const BYTES = "must be a whole number of bytes from 256 to 65536";
const bytes = number(BYTES, z.number(BYTES)).refine((size) => ContentMaxBytes.safeParse(size).success, BYTES);

const MODEL = "must be `provider/model`, or the name of a model of VALET_MODEL_BASE_URL; at most 200 characters";
const modelRef = text.refine((model) => ModelAccess.shape.model.safeParse(model).success, MODEL);

/** `input/output[/cache read[/cache write]]`. */
const modelPrices = text
  .regex(
    /^\d+(?:\.\d+)?(?:\/\d+(?:\.\d+)?){1,3}$/,
    "must be INPUT/OUTPUT[/CACHE_READ[/CACHE_WRITE]], in USD per million tokens",
  )
  .transform((prices): ModelPrices => {
    const [input = 0, output = 0, cacheRead, cacheWrite] = prices.split("/").map(Number);
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
  const limit = slots.optional();
  return {
    awake: read("VALET_MAX_AWAKE", limit) ?? Infinity,
    starting: read("VALET_MAX_STARTING", limit) ?? Infinity,
  };
}

/** @throws ConfigError that names the first invalid variable */
export function parseConfig(env: Variables): Config {
  const read = reader(env);
  const intervals = intervalsOf((variable) => read(variable, millis));
  return {
    publicUrl: read("PUBLIC_URL", httpUrl).replace(/\/$/, ""),
    broker: {
      url: read("SANDBOX_BROKER_URL", httpUrl).replace(/\/$/, ""),
      secret: read("SANDBOX_BROKER_SECRET", text),
    },
    modelAccess: readModelAccess(read),
    credentialKeys: read("VALET_CREDENTIAL_KEYS", credentialKeys.optional()) ?? [],
    intervals: { ...intervals, brokerCallMs: Math.min(intervals.brokerCallMs, innerLimit(intervals.startMs)) },
    agentOtlp: read("VALET_AGENT_OTLP", z.enum(["on", "off"], { error: "must be `on` or `off`" })) === "on",
    retentionMs: read("VALET_RETENTION_DAYS", days) * DAY_MS,
    turnBounds: {
      maxModelCalls: read("VALET_MAX_MODEL_CALLS", count),
      maxTurnMs: read("VALET_MAX_TURN_MS", millis),
      pollingTools: read("VALET_POLLING_TOOLS", tools),
    },
    providerContext: {
      traceparent: read("VALET_PROVIDER_TRACEPARENT", flag),
      tracestateHosts: read("VALET_PROVIDER_TRACESTATE_HOSTS", hosts.optional()) ?? [],
    },
    contentMaxBytes: read("VALET_CONTENT_MAX_BYTES", bytes),
  };
}

/** @throws ConfigError that names the first variable that is missing or invalid */
export function requireConfig(env: Variables): void {
  parseConfig(env);
  parseCapacity(env);
  allowsFileRepos(env);
  allowsPrivateHosts(env);
  addsTrailers(env);
  traceUrlTemplate(env);
}

/**
 * Returns whether sessions may clone from `file:` URLs (`VALET_ALLOW_FILE_REPOS`). Safe only where every user of the
 * API may read the sandboxes' machine anyway, that is with the local driver.
 */
export function allowsFileRepos(env: Variables): boolean {
  return reader(env)("VALET_ALLOW_FILE_REPOS", flag);
}

/**
 * Returns whether webhooks may be sent to private networks, and by http to this machine, and repositories there be asked for
 * (`VALET_WEBHOOKS_ALLOW_PRIVATE`). Safe only where everybody with a token may reach them anyway.
 */
export function allowsPrivateHosts(env: Variables): boolean {
  return reader(env)("VALET_WEBHOOKS_ALLOW_PRIVATE", flag);
}

/** Returns whether commits of agents and workflows name their session (`VALET_COMMIT_TRAILERS`). */
function addsTrailers(env: Variables): boolean {
  return reader(env)("VALET_COMMIT_TRAILERS", flag);
}

/** Returns where the backend shows a trace, with `{traceId}` in its place (`VALET_TRACE_URL_TEMPLATE`). */
export function traceUrlTemplate(env: Variables): string | undefined {
  return reader(env)("VALET_TRACE_URL_TEMPLATE", traceUrl.optional());
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
    ...(!addsTrailers(env) && { VALET_COMMIT_TRAILERS: "0" }),
  };
}

function readModelAccess(read: Read): ModelAccess {
  const baseUrl = read("VALET_MODEL_BASE_URL", httpUrl.optional());
  const apiKey = read("VALET_MODEL_API_KEY", text.optional());
  const prices = read("VALET_MODEL_PRICES", modelPrices.optional());
  const keys = PROVIDER_KEYS.map((name) => [name, read(name, text.optional())]).filter(([, key]) => key !== undefined);
  return ModelAccess.parse({
    model: read("VALET_MODEL", modelRef),
    ...(baseUrl !== undefined && {
      openAiCompatible: { baseUrl, ...(apiKey !== undefined && { apiKey }), ...(prices !== undefined && { prices }) },
    }),
    providerKeys: Object.fromEntries(keys),
  });
}
