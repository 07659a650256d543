/** Parses the Worker's variables into a typed configuration. */
import { innerLimit, LIMITS } from "@valet/shared/limits";
import {
  DEFAULT_TURN_BOUNDS,
  ModelAccess,
  type ModelPrices,
  PROVIDER_KEYS,
  TurnBounds,
} from "@valet/shared/protocol/runner-link";
import { type EnvironmentRecord, limitVariables } from "@valet/shared/tracing";
import { z } from "zod";
import type { Env } from "./bindings.ts";

/** Timeouts and intervals in milliseconds. Each has a variable: `graceMs` is `VALET_GRACE_MS`. Tests set short ones. */
export const INTERVALS = {
  /** How long a session may be idle before it hibernates; a session may set its own. */
  idleTimeoutMs: 15 * 60_000,
  /** How long a lost link may take to come back before the runner counts as lost. */
  graceMs: LIMITS.graceMs,
  /** From sending a dispatch to its acceptance. */
  acceptMs: 20_000,
  /** From requesting a sandbox to its runner's report that it is idle. */
  startMs: LIMITS.startMs,
  /** One call of the broker, at most as long as a start allows. */
  brokerCallMs: LIMITS.brokerCallMs,
  /** A snapshot call of the broker. */
  snapshotMs: LIMITS.snapshotMs,
  /** How long the runner may be silent before the link counts as lost. */
  linkSilenceMs: LIMITS.linkSilenceMs,
  /** How long a turn may go without any event of the agent before it counts as stuck. */
  stuckTurnMs: 10 * 60_000,
  /** How long the runner may take to answer an abort or a shutdown before the object continues without it. */
  abortMs: LIMITS.abortMs,
  stopMs: LIMITS.stopMs,
  /** The delay before the second attempt to recover a sandbox; it doubles. */
  recoveryBackoffMs: 5000,
  /** A sandbox that was ready for this long resets the count of recovery attempts when it is lost. */
  recoveryHeldMs: 10 * 60_000,
  /** From the last message of a batch to its dispatch, and at most from the first. */
  collectDebounceMs: 1500,
  collectMaxMs: 15_000,
  /** How often the queue's watchdog checks a queue that makes no progress. */
  queueWatchdogMs: 60_000,
  /** The first delay before a failed write to D1, or a failed termination at the broker, is retried; it doubles. */
  retryMs: 2000,
} as const;
export type Intervals = { readonly [K in keyof typeof INTERVALS]: number };

export interface Config {
  /** The URL at which runners reach the Worker; a runner connects to `ws(s)://…/runner/<session>` below it. */
  readonly publicUrl: string;
  readonly broker: { readonly url: string; readonly secret: string };
  readonly modelAccess: ModelAccess;
  /** The keys that seal git credentials at rest, newest first. */
  readonly credentialKeys: readonly Uint8Array<ArrayBuffer>[];
  readonly intervals: Intervals;
  readonly turnBounds: TurnBounds;
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
const count = z.coerce.number().int().positive().max(1_000_000);
/** A comma-separated list. */
const names = z
  .string()
  .transform((text) =>
    text
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
  )
  .pipe(TurnBounds.shape.pollingTools);

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

type Read = <T>(name: string, schema: z.ZodType<T>) => T;

/** @returns a function that reads one variable, or throws a ConfigError that names it */
function reader(env: EnvironmentRecord | Env): Read {
  return (name, schema) => {
    const value = (env as Record<string, unknown>)[name];
    const result = schema.safeParse(value === "" ? undefined : value);
    if (result.success) return result.data;
    throw new ConfigError(
      `${name}: ${value === undefined ? "is not set" : (result.error.issues[0]?.message ?? "invalid")}`,
    );
  };
}

/**
 * Returns how many sandboxes may be awake, and starting, at once (`VALET_MAX_AWAKE`, `VALET_MAX_STARTING`). Without
 * these variables only the broker's own limit applies.
 * @throws ConfigError that names the invalid variable
 */
export function parseCapacity(env: EnvironmentRecord | Env): CapacityLimits {
  const read = reader(env);
  const limit = z.coerce.number().int().positive().default(Infinity);
  return { awake: read("VALET_MAX_AWAKE", limit), starting: read("VALET_MAX_STARTING", limit) };
}

/** @throws ConfigError that names the first invalid variable */
export function parseConfig(env: EnvironmentRecord | Env): Config {
  const read = reader(env);
  const intervals = Object.fromEntries(
    Object.entries(INTERVALS).map(([name, otherwise]) => [name, read(variableOf(name), millis.default(otherwise))]),
  ) as Intervals;
  return {
    publicUrl: read("PUBLIC_URL", httpUrl).replace(/\/$/, ""),
    broker: {
      url: read("SANDBOX_BROKER_URL", httpUrl).replace(/\/$/, ""),
      secret: read("SANDBOX_BROKER_SECRET", z.string().min(1)),
    },
    modelAccess: readModelAccess(read),
    credentialKeys: read("VALET_CREDENTIAL_KEYS", credentialKeys.optional()) ?? [],
    intervals: { ...intervals, brokerCallMs: Math.min(intervals.brokerCallMs, innerLimit(intervals.startMs)) },
    turnBounds: {
      maxModelCalls: read("VALET_MAX_MODEL_CALLS", count.default(DEFAULT_TURN_BOUNDS.maxModelCalls)),
      maxTurnMs: read("VALET_MAX_TURN_MS", millis.default(DEFAULT_TURN_BOUNDS.maxTurnMs)),
      pollingTools: read("VALET_POLLING_TOOLS", names.default(DEFAULT_TURN_BOUNDS.pollingTools)),
    },
  };
}

/**
 * Returns whether sessions may clone from `file:` URLs (`VALET_ALLOW_FILE_REPOS`). Safe only where every user of the
 * API may read the sandboxes' machine anyway, that is with the local driver.
 */
export function allowsFileRepos(env: Env): boolean {
  return String(env.VALET_ALLOW_FILE_REPOS) === "true";
}

/** Returns the environment of a sandbox's entrypoint: its session, the Worker's URL, and the limits of its spans. */
export function sandboxVariables(
  env: Env,
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
  };
}

/** Returns the variable of an interval: `graceMs` is `VALET_GRACE_MS`. */
function variableOf(name: string): string {
  return `VALET_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function readModelAccess(read: Read): ModelAccess {
  const baseUrl = read("VALET_MODEL_BASE_URL", httpUrl.optional());
  const apiKey = read("VALET_MODEL_API_KEY", z.string().optional());
  const prices = read("VALET_MODEL_PRICES", modelPrices.optional());
  const keys = PROVIDER_KEYS.map((name) => [name, read(name, z.string().optional())]).filter(
    ([, key]) => key !== undefined,
  );
  return ModelAccess.parse({
    model: read("VALET_MODEL", z.string().min(1)),
    ...(baseUrl !== undefined && {
      openAiCompatible: { baseUrl, ...(apiKey !== undefined && { apiKey }), ...(prices !== undefined && { prices }) },
    }),
    providerKeys: Object.fromEntries(keys),
  });
}
