/** Reads the runner's settings from its environment and its standard input. */
import { join } from "node:path";
import {
  EntrypointInput,
  Generation,
  MAX_ENTRYPOINT_INPUT_BYTES,
  RUNNER_ISOLATIONS,
  type RunnerIsolation,
  SessionId,
} from "@valet/shared/protocol/sandbox-broker";
import { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import {
  type EnvironmentRecord,
  extractFromEnvironment,
  limitVariables,
  readTracingConfig,
  type SpanContext,
  type SpanLimits,
} from "@valet/shared/tracing";
import { RUNNER_VARIABLES } from "@valet/shared/variables";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { z } from "zod";

export interface Settings {
  readonly sessionId: string;
  readonly generation: number;
  readonly url: string;
  readonly workspace: string;
  readonly home: string;
  /** The folder for what a runner's successor needs. */
  readonly stateFolder: string;
  /** Whether the sandbox was restored from a snapshot, so its workspace contains earlier work. */
  readonly isRestored: boolean;
  readonly sandboxId: string | undefined;
  /** A file descriptor whose other end closes when the host dies. */
  readonly lifeline?: number | undefined;
  /** Whether repositories of this machine may be cloned: only if sandboxes run on the machine of their users. */
  readonly allowFile: boolean;
  /** Whether commits of the agent and of workflows' commands get trailers that name the session. */
  readonly commitTrailers?: boolean;
  /** What separates the agent and its commands from the machine. */
  readonly isolation?: RunnerIsolation;
  /** The folder of what the runner makes for the agent to read; the state folder by default. */
  readonly agentFolder?: string | undefined;
  /** The folder for the sockets of the sandbox's own network; absent if it shares the machine's. */
  readonly networkFolder?: string | undefined;
  /** The limits of the agent and its commands; none if absent. */
  readonly limits?: RunnerLimits;
  /** How long the runner goes on without a link and without work, in ms; for ever if absent. */
  readonly maxAloneMs?: number;
  /** The parent of the bootstrap span. */
  readonly parent: SpanContext | undefined;
  /** The limits of spans; OpenTelemetry's defaults if absent. */
  readonly spanLimits?: SpanLimits;
}

/** A required setting is missing or invalid. The message names the setting and never quotes its value. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

const Environment = z.object({
  VALET_SESSION_ID: SessionId,
  VALET_GENERATION: z.string().regex(/^\d+$/, "not an integer").transform(Number).pipe(Generation),
  VALET_RUNNER_URL: z.url({ protocol: /^wss?$/, error: "not a ws or wss URL" }),
  VALET_WORKSPACE: z.string().startsWith("/", "not an absolute path").optional(),
  HOME: z.string().startsWith("/", "not an absolute path"),
  VALET_RUNNER_STATE: z.string().startsWith("/", "not an absolute path").optional(),
  VALET_AGENT_FOLDER: z.string().startsWith("/", "not an absolute path").optional(),
  VALET_RESTORED: z.enum(["0", "1"]).default(RUNNER_VARIABLES.VALET_RESTORED.default),
  VALET_SANDBOX_ID: z.string().max(128).optional(),
  VALET_LIFELINE_FD: z
    .string()
    .regex(/^\d{1,4}$/, "not a file descriptor")
    .transform(Number)
    .optional(),
  VALET_STARTED_AHEAD: z.enum(["0", "1"]).default(RUNNER_VARIABLES.VALET_STARTED_AHEAD.default),
  VALET_ALLOW_FILE_REPOS: z.enum(["0", "1"]).default(RUNNER_VARIABLES.VALET_ALLOW_FILE_REPOS.default),
  VALET_COMMIT_TRAILERS: z.enum(["0", "1"]).default(RUNNER_VARIABLES.VALET_COMMIT_TRAILERS.default),
  VALET_NETWORK_FOLDER: z.string().startsWith("/", "not an absolute path").optional(),
  VALET_ISOLATION: z.enum(RUNNER_ISOLATIONS).default(RUNNER_VARIABLES.VALET_ISOLATION.default),
  VALET_SANDBOX_LIMITS: z.string().transform(jsonOf).pipe(RunnerLimits).optional(),
  VALET_MAX_ALONE_MS: z
    .string()
    .regex(/^[1-9]\d{0,8}$/, "not a number of milliseconds")
    .transform(Number)
    .optional(),
} satisfies Record<keyof typeof RUNNER_VARIABLES, z.ZodType>);

/**
 * @param folder the default of `VALET_WORKSPACE`: the working directory in which the sandbox starts its entrypoint
 * @throws SettingsError
 */
export function readSettings(env: EnvironmentRecord, folder: string): Settings {
  const { data, error } = Environment.safeParse(env);
  if (data === undefined) {
    const problems = error.issues.map(({ path, message }) =>
      env[String(path[0])] === undefined ? `${String(path[0])} is missing` : `${String(path[0])}: ${message}`,
    );
    throw new SettingsError(problems.join("; "));
  }
  return {
    sessionId: data.VALET_SESSION_ID,
    generation: data.VALET_GENERATION,
    url: data.VALET_RUNNER_URL,
    workspace: data.VALET_WORKSPACE ?? folder,
    home: data.HOME,
    // Drivers of earlier versions do not set it, and the agent can reach the default.
    stateFolder: data.VALET_RUNNER_STATE ?? earlierStateFolder(data.HOME),
    agentFolder: data.VALET_AGENT_FOLDER,
    isRestored: data.VALET_RESTORED === "1",
    sandboxId: data.VALET_SANDBOX_ID,
    lifeline: data.VALET_LIFELINE_FD,
    allowFile: data.VALET_ALLOW_FILE_REPOS === "1",
    commitTrailers: data.VALET_COMMIT_TRAILERS === "1",
    isolation: data.VALET_ISOLATION,
    networkFolder: data.VALET_NETWORK_FOLDER,
    ...withoutUndefined({ limits: data.VALET_SANDBOX_LIMITS, maxAloneMs: data.VALET_MAX_ALONE_MS }),
    parent: extractFromEnvironment(env),
    spanLimits: readTracingConfig(limitVariables(env)).limits,
  };
}

/** Invalid JSON is a value that no schema accepts. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the state folder of earlier versions, in the agent's home. */
export function earlierStateFolder(home: string): string {
  return join(home, ".valet-runner");
}

/** Returns whether the runner was started before its sandbox was asked for: its input comes when it is, and has the other variables. */
export function wasStartedAhead(env: EnvironmentRecord): boolean {
  return env.VALET_STARTED_AHEAD === "1";
}

/**
 * Reads the one line of JSON that the broker writes, and ignores the rest.
 * @param timeoutMs if omitted, it waits until the input ends, which it does with the broker
 * @throws SettingsError if it does not arrive in time, or is invalid
 */
export async function readInput(stream: AsyncIterable<Uint8Array>, timeoutMs?: number): Promise<EntrypointInput> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(new SettingsError("standard input: received nothing in time"));
  const timer = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs);
  try {
    return parseInput(await Promise.race([readLine(stream), late]));
  } finally {
    clearTimeout(timer);
  }
}

async function readLine(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n") || text.length > MAX_ENTRYPOINT_INPUT_BYTES) break;
  }
  return text.split("\n", 1)[0] as string;
}

function parseInput(line: string): EntrypointInput {
  try {
    // Brokers of earlier versions do not count restarts.
    return EntrypointInput.parse({ restartCount: 0, ...JSON.parse(line) });
  } catch {
    throw new SettingsError('standard input: expected a line {"token": "…"}');
  }
}
