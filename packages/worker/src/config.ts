/** Reads the Worker's variables, once and typed. */
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

/**
 * How long things may take, in milliseconds. Each has its variable: `graceMs` is `VALET_GRACE_MS`. Tests inject short ones.
 */
export const INTERVALS = {
  /** Without work, before the session hibernates; a session may set its own. */
  idleTimeoutMs: 15 * 60_000,
  /** From losing the link to the runner to giving it up. */
  graceMs: LIMITS.graceMs,
  /** From sending a dispatch to its acceptance. */
  acceptMs: 20_000,
  /** From asking for a sandbox to its runner reporting idle. */
  startMs: LIMITS.startMs,
  /** One call of the broker, never more than a start leaves room for. */
  brokerCallMs: LIMITS.brokerCallMs,
  /** A call for a snapshot. */
  snapshotMs: LIMITS.snapshotMs,
  /** Without a sign of life, before the link counts as lost. */
  linkSilenceMs: LIMITS.linkSilenceMs,
  /** Without any event of the agent, before a turn counts as stuck. */
  stuckTurnMs: 10 * 60_000,
  /** From asking the runner to abort or to stop to going on without its answer. */
  abortMs: LIMITS.abortMs,
  stopMs: LIMITS.stopMs,
  /** Before the second attempt to recover a sandbox; it doubles. */
  recoveryBackoffMs: 5000,
  /** A sandbox that was ready for this long held: its loss is a new one. */
  recoveryHeldMs: 10 * 60_000,
  /** From the last message of a batch to its dispatch, and the most from the first. */
  collectDebounceMs: 1500,
  collectMaxMs: 15_000,
  /** How often a queue that does not move is looked at again. */
  queueWatchdogMs: 60_000,
  /** Before something that could not be written to D1, or ended at the broker, is tried again; it doubles. */
  retryMs: 2000,
} as const;
export type Intervals = { readonly [K in keyof typeof INTERVALS]: number };

export interface Config {
  /** Where runners reach the Worker; a runner gets `ws(s)://…/runner/<session>` under it. */
  readonly publicUrl: string;
  readonly broker: { readonly url: string; readonly secret: string };
  readonly modelAccess: ModelAccess;
  /** Seal git credentials at rest, the newest first. */
  readonly credentialKeys: readonly Uint8Array<ArrayBuffer>[];
  readonly intervals: Intervals;
  readonly turnBounds: TurnBounds;
}

/** How many sandboxes there may be; `Infinity` where nothing limits them. */
export interface CapacityLimits {
  /** Awake at once, those that are starting included. */
  readonly awake: number;
  /** Starting at once. */
  readonly starting: number;
}

/** A variable that is missing or unusable. Names it and never quotes its value. */
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

/** A list with commas between, each 32 bytes in base64 or base64url. */
const credentialKeys = z
  .string()
  .transform((text) => text.split(",").map((key) => new Uint8Array(Buffer.from(key.trim(), "base64"))))
  .refine(
    (keys) => keys.every(({ length }) => length === CREDENTIAL_KEY_BYTES),
    "must be keys of 32 bytes in base64, with commas between",
  );
const count = z.coerce.number().int().positive().max(1_000_000);
/** Separated by commas. */
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
    "must be INPUT/OUTPUT[/CACHE_READ[/CACHE_WRITE]], in USD for a million tokens",
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

/** @returns reads one variable, or throws a ConfigError that names it */
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
 * How many sandboxes the broker may have awake, and starting, at once (`VALET_MAX_AWAKE`, `VALET_MAX_STARTING`). Without a
 * variable nothing but the broker's own bound limits them.
 * @throws ConfigError that names the variable that cannot be used
 */
export function parseCapacity(env: EnvironmentRecord | Env): CapacityLimits {
  const read = reader(env);
  const limit = z.coerce.number().int().positive().default(Infinity);
  return { awake: read("VALET_MAX_AWAKE", limit), starting: read("VALET_MAX_STARTING", limit) };
}

/** @throws ConfigError that names the first variable that cannot be used */
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
 * Whether sessions may clone from `file:` URLs (`VALET_ALLOW_FILE_REPOS`): only where the sandboxes' files are those of whoever
 * may use the API anyway, which is so with the local driver alone.
 */
export function allowsFileRepos(env: Env): boolean {
  return String(env.VALET_ALLOW_FILE_REPOS) === "true";
}

/** What a sandbox's entrypoint finds in its environment: whose it is, where the Worker is, and how much its spans may hold. */
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

/** `graceMs` is `VALET_GRACE_MS`. */
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
