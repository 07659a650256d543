/** Starts and ends the process `opencode serve`. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { LimitError } from "@valet/shared/limit-errors";
import { LIMITS, startShares } from "@valet/shared/limits";
import {
  HIDE_PROCESS_VARIABLE,
  PRELOAD_VARIABLE,
  REFUSALS_FILE_VARIABLE,
  SECRET_VARIABLES_VARIABLE,
  TRUST_VARIABLE,
} from "@valet/shared/protocol/agent-variables";
import type { ModelAccess } from "@valet/shared/protocol/model-access";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Subprocess } from "bun";
import { AGENT_DIED, AGENT_UNHEALTHY, AgentStartError } from "../agent/errors.ts";
import { openCodeBinary, PRELOAD } from "../installed-files.ts";
import { killGroup } from "../processes/child-processes.ts";
import { AGENT_RUN_VARIABLE } from "../processes/marks.ts";
import { killOrphans } from "../processes/orphans.ts";
import { keysOf } from "../secrets/model-keys.ts";
import type { SecretValues } from "../secrets/secret-values.ts";
import { NO_WALL, type Wall, type WallError } from "../wall/wall.ts";
import { OpenCodeClient } from "./client.ts";
import {
  openCodeConfig,
  openCodeEnvironment,
  PASSWORD_VARIABLE,
  type Permission,
  secretVariables,
  splitEnvironment,
  type ToolAccess,
  usesCatalogue,
} from "./config.ts";
import type { ConfigFolder } from "./config-folder.ts";
import { boundToolOutput, toolOutputFolder } from "./tool-output.ts";

export interface ServerOptions {
  /** The agent's workspace. */
  readonly workspace: string;
  readonly modelAccess: ModelAccess;
  /** The folders of OpenCode's configuration. */
  readonly configFolder: ConfigFolder;
  readonly permission?: Readonly<Record<string, Permission>>;
  /** Whether plugins of the repository may run in OpenCode's process. */
  readonly runsRepositoryCode: boolean;
  /** Receives OpenCode's keys and passwords, which are redacted from its output. */
  readonly secrets?: SecretValues;
  /** The path of the file by which the plugin knows whether a permit is still valid. */
  readonly refusalsFile?: string;
  /** The tool server of Valet's tools; without it there are none. */
  readonly tools?: ToolAccess;
  /** What OpenCode and its tools' commands run behind; nothing by default. */
  readonly wall?: Wall;
  /** The runner's environment; `process.env` by default. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The timeout of the start. */
  readonly startTimeoutMs?: number;
  /** Aborts the start. */
  readonly signal?: AbortSignal;
  /** How long OpenCode may take to end after SIGTERM. */
  readonly stopGraceMs?: number;
}

/** Not the workspace, since a `tsconfig.json` there could change the imports of Valet's plugin. */
const WORKING_FOLDER = "/";
/** The default, if the runner's start does not set another timeout. */
export const START_TIMEOUT_MS = startShares(LIMITS.startMs).agentMs;
const HEALTH_TRY_MS = 1_000;
const HEALTH_RETRY_MS = 10;
const LISTENING = /listening on (http:\/\/\S+)/;

const START_FAILURES = {
  died: "OpenCode ended while it started",
  unhealthy: "OpenCode did not become healthy in time",
  stopped: "OpenCode was stopped",
  walled: "the wall around OpenCode cannot be built",
} as const;

const START_ERRORS = {
  died: AGENT_DIED,
  unhealthy: AGENT_UNHEALTHY,
  stopped: AGENT_UNHEALTHY,
  walled: "wall_failed",
} as const;

/** OpenCode could not be started. */
export class OpenCodeStartError extends AgentStartError {
  override readonly name = "OpenCodeStartError";
  readonly reason: keyof typeof START_FAILURES;
  /** Whether OpenCode was killed; `undefined` if it did not end by itself, or nobody knows. */
  readonly wasKilled: boolean | undefined;

  /** @param wall why the wall cannot be built; its message is neither content nor a secret */
  constructor(reason: keyof typeof START_FAILURES, { wall, wasKilled, limit }: StartFailure = {}) {
    super(
      limit ?? START_ERRORS[reason],
      wall === undefined ? START_FAILURES[reason] : `${START_FAILURES[reason]}: ${wall.message}`,
    );
    this.reason = reason;
    this.wasKilled = wasKilled;
  }
}

interface StartFailure {
  readonly wall?: WallError;
  readonly wasKilled?: boolean;
  /** The limit of the sandbox that was the cause. */
  readonly limit?: LimitError;
}

/** A healthy OpenCode in a process group of its own. */
export class OpenCodeServer {
  readonly client: OpenCodeClient;
  readonly version: string | undefined;
  /** Resolves when the process has ended, for any reason, and its tools' commands have been killed. */
  readonly exited: Promise<void>;
  readonly #process: Subprocess;
  readonly #wall: Wall;
  readonly #stopGraceMs: number;
  #stopping: Promise<void> | undefined;

  private constructor(
    child: Subprocess,
    wall: Wall,
    run: string,
    client: OpenCodeClient,
    version: string | undefined,
    stopGraceMs: number = LIMITS.agentEndMs,
  ) {
    this.#process = child;
    this.#wall = wall;
    this.client = client;
    this.version = version;
    this.#stopGraceMs = stopGraceMs;
    this.exited = child.exited.then(() => killOrphans(AGENT_RUN_VARIABLE, run));
  }

  /** @throws OpenCodeStartError */
  static async start(options: ServerOptions): Promise<OpenCodeServer> {
    const {
      workspace,
      modelAccess,
      configFolder,
      permission,
      tools,
      signal,
      startTimeoutMs = START_TIMEOUT_MS,
    } = options;
    const deadline = performance.now() + startTimeoutMs;
    const password = newPassword();
    const run = crypto.randomUUID();
    options.secrets?.add(password, tools?.secret, ...keysOf(modelAccess));
    const inherited = options.env ?? process.env;
    const environment = openCodeEnvironment(inherited, modelAccess, {
      password,
      tools,
      config: openCodeConfig(modelAccess, permission, tools),
    });
    const { wall = NO_WALL, runsRepositoryCode } = options;
    const knowsCatalogue = runsRepositoryCode || usesCatalogue(modelAccess, inherited);
    // OpenCode takes a second to start, and meanwhile needs no other machine, unless it may install packages.
    const beforeNetwork = !knowsCatalogue;
    const port = beforeNetwork ? wall.freePort() : 0;
    const { command, cwd } = await wall
      .enter(
        [openCodeBinary(), "serve", "--port", `${port}`, "--hostname", "127.0.0.1"],
        WORKING_FOLDER,
        // OpenCode installs what a trusted repository's plugins need.
        { mayConfigure: runsRepositoryCode, beforeNetwork },
      )
      .catch(walled);
    const { open, secret } = splitEnvironment(environment, modelAccess);
    const child = Bun.spawn([...command], {
      cwd,
      env: {
        ...open,
        // Nobody's: the preload replaces it, and without the preload OpenCode is of no use to anybody.
        [PASSWORD_VARIABLE]: newPassword(),
        [PRELOAD_VARIABLE]: PRELOAD,
        ...configFolder.environment(knowsCatalogue),
        [AGENT_RUN_VARIABLE]: run,
        [HIDE_PROCESS_VARIABLE]: wall.endsAll ? "1" : "0",
        [TRUST_VARIABLE]: runsRepositoryCode ? "1" : "0",
        ...withoutUndefined({ [REFUSALS_FILE_VARIABLE]: options.refusalsFile }),
        [SECRET_VARIABLES_VARIABLE]: secretVariables(modelAccess).join(","),
      },
      stdin: new TextEncoder().encode(JSON.stringify(secret)),
      stdout: "pipe",
      // Its log may quote what the agent reads.
      stderr: "ignore",
      detached: true,
    });
    const folder = toolOutputFolder(environment);
    if (folder !== undefined) void child.exited.then(boundToolOutput({ folder }));
    // A wall that cannot be connected ends OpenCode, and says so first.
    const failed = Promise.race([
      wall.connected().then(() => FOREVER, walled),
      child.exited.then(() => died(child, wall)),
    ]);
    const inTime = <T>(work: Promise<T>) => before(deadline, failed, signal, work);
    try {
      const url = await inTime(addressOf(child.stdout));
      const socket = await inTime(wall.reach(Number(new URL(url).port)).catch(walled));
      const client = new OpenCodeClient({
        url,
        password,
        directory: workspace,
        ...withoutUndefined({ socket, secrets: options.secrets }),
      });
      const { version } = await inTime(waitForHealth(client, child, deadline));
      return new OpenCodeServer(child, wall, run, client, version, options.stopGraceMs);
    } catch (error) {
      killGroup(child.pid, "SIGKILL");
      await child.exited;
      throw error;
    }
  }

  /** Whether the process has been killed, by whomever. */
  get wasKilled(): boolean {
    return wasKilled(this.#process, this.#wall);
  }

  /**
   * Ends OpenCode and its tools' commands. Resolves when the process has ended. The commands have their own process groups, so
   * OpenCode must end them itself first. OpenCode then gets SIGTERM, which it ignores for some seconds after a turn, and
   * finally SIGKILL.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Kills OpenCode and its tools' commands. Resolves when the process has ended. */
  async kill(): Promise<void> {
    killGroup(this.#process.pid, "SIGKILL");
    await this.exited;
  }

  async #stop(): Promise<void> {
    const { pid } = this.#process;
    const hasEnded = () => this.#process.exitCode !== null || this.#process.signalCode !== null;
    if (!hasEnded()) {
      await Promise.race([this.client.dispose(LIMITS.agentDisposeMs).catch(() => undefined), this.exited]);
      killGroup(pid, "SIGTERM");
      await Promise.race([this.exited, sleep(this.#stopGraceMs)]);
    }
    killGroup(pid, "SIGKILL");
    await this.exited;
  }
}

function newPassword(): string {
  return randomBytes(24).toString("base64url");
}

const FOREVER = new Promise<never>(() => {});

function walled(error: WallError): never {
  throw new OpenCodeStartError("walled", { wall: error });
}

function died(child: Subprocess, wall: Wall): never {
  throw new OpenCodeStartError("died", { wasKilled: wasKilled(child, wall) });
}

function wasKilled({ signalCode, exitCode }: Subprocess, wall: Wall): boolean {
  return signalCode === "SIGKILL" || (exitCode !== null && wall.signalOf(exitCode) === "SIGKILL");
}

/**
 * Reads the address from OpenCode's output, since OpenCode chooses the port. Keeps reading, so OpenCode never blocks on
 * writing.
 */
function addressOf(stdout: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  void (async () => {
    const decoder = new TextDecoder();
    let line: string | undefined = "";
    for await (const chunk of stdout) {
      if (line === undefined) continue;
      line += decoder.decode(chunk, { stream: true });
      const found = LISTENING.exec(line)?.[1];
      if (found === undefined) continue;
      line = undefined;
      resolve(found);
    }
  })().catch(() => undefined);
  return promise;
}

/**
 * Waits until OpenCode is healthy. Right after "listening" one request in thirty is reset or stalls, so each has a short
 * timeout.
 */
async function waitForHealth(client: OpenCodeClient, child: Subprocess, deadline: number) {
  for (;;) {
    try {
      return await client.health(HEALTH_TRY_MS);
    } catch (error) {
      if (performance.now() >= deadline || child.exitCode !== null || child.signalCode !== null) throw error;
      await sleep(HEALTH_RETRY_MS);
    }
  }
}

/** Waits for `work`. @throws OpenCodeStartError at the deadline, or if the start fails or is aborted before */
async function before<T>(
  deadline: number,
  failed: Promise<never>,
  signal: AbortSignal | undefined,
  work: Promise<T>,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new OpenCodeStartError("unhealthy")),
    Math.max(0, deadline - performance.now()),
  );
  const giveUp = () => reject(new OpenCodeStartError("stopped"));
  signal?.addEventListener("abort", giveUp);
  if (signal?.aborted) giveUp();
  for (const each of [work, failed, late]) each.catch(() => undefined);
  try {
    return await Promise.race([work, failed, late]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}
