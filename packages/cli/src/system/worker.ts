/** Runs the Worker in workerd by Miniflare, which restarts workerd after a crash. */
import { mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { D1Database } from "@cloudflare/workers-types";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare, MiniflareCoreError, Response } from "miniflare";
import type { Page } from "./page.ts";
import { PortTakenError } from "./ports.ts";
import { createEgress } from "./public-egress.ts";
import type { StateDirectory } from "./state-directory.ts";
import { isAbsent } from "./worker-absence.ts";
import { bundleWorker, workerModule } from "./worker-bundle.ts";
import { probeWorker } from "./worker-probe.ts";
import { isWorkerdRunning, killWorkerd, wrapWorkerd } from "./worker-process.ts";

export interface WorkerOptions {
  /** The port on the loopback interface. */
  readonly port: number;
  readonly state: StateDirectory;
  readonly bindings: Record<string, string>;
  readonly page: Page;
  /** Receives sentences about the state of the process. */
  readonly report: (line: string) => void;
  /** Receives each line that the Worker or workerd logs. */
  readonly log: (line: string) => void;
  /** Called when workerd has crashed and several restarts have failed. */
  readonly onFailure: (error: Error) => void;
  /** The main module; Valet's own if omitted. */
  readonly entry?: string | undefined;
}

export interface Worker {
  /** Returns the D1 database with all sessions' projections. */
  database(): Promise<D1Database>;
  /** Runs the Worker's upkeep once. Rejects while the Worker is away. */
  runUpkeep(): Promise<unknown>;
  /** Stops the Worker. Idempotent. */
  stop(): Promise<void>;
}

const EXIT_EVENTS = ["SIGINT", "SIGTERM", "exit"] as const;
/** How often the Worker is started anew once Miniflare's own restart has failed, and the first delay, which doubles. */
const MAX_RESTARTS = 5;
const RESTART_DELAY_MS = 200;
/** How long Miniflare may take to end. */
const DISPOSE_MS = 3_000;

/** @throws PortTakenError when another program has taken the port */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { report, onFailure } = options;
  const script = await (options.entry === undefined ? workerModule() : bundleWorker(options.entry));
  const stopping = new AbortController();
  let restarting: Promise<void> = Promise.resolve();
  const onCrash = (error: Error) => {
    restarting = restarting.then(() => restart(error));
  };
  let miniflare = await launch(options, script, onCrash);
  const probing = probeWorker({
    ask: (signal) => fetch(`http://127.0.0.1:${options.port}/api/health`, { signal }),
    onHung: (silentMs) => {
      report(
        `The Worker (workerd) has not answered for ${Math.round(silentMs / 1000)} s and is killed, to be restarted.`,
      );
      killWorkerd(options.state);
    },
    signal: stopping.signal,
  });

  async function restart(cause: Error): Promise<void> {
    let last = cause;
    await dispose(miniflare, options.state);
    for (let tries = 0; tries < MAX_RESTARTS; tries++) {
      await sleep(RESTART_DELAY_MS * 2 ** tries, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      try {
        miniflare = await launch(options, script, onCrash);
        report(RUNS_AGAIN);
        return;
      } catch (error) {
        last = error as Error;
      }
    }
    onFailure(last);
  }

  return {
    database: () => miniflare.getD1Database("DB"),
    runUpkeep: async () => (await miniflare.getWorker("valet")).scheduled({}),
    stop: async () => {
      stopping.abort();
      await probing;
      await restarting;
      await dispose(miniflare, options.state);
    },
  };
}

/** What Miniflare does not notice. */
const ENDED_EARLY = "workerd ended before it had read its configuration";
const RUNS_AGAIN = "The Worker runs again. Its state is kept; what it had in memory is lost.";

async function launch(options: WorkerOptions, script: string, onCrash: (error: Error) => void): Promise<Miniflare> {
  const { port, state, bindings, page, report, log } = options;
  const egress = createEgress({ allowsPrivate: bindings.VALET_WEBHOOKS_ALLOW_PRIVATE === "true" });
  const isRunning = () => isWorkerdRunning(state);
  let restart = new AbortController();
  const onRestarting = () => {
    restart.abort();
    restart = new AbortController();
    void isAbsent(isRunning, restart.signal).then((hasEnded) => {
      if (hasEnded) onCrash(new Error(ENDED_EARLY));
    });
  };
  const onRestarted = () => {
    restart.abort();
    report(RUNS_AGAIN);
  };
  const onFailed = (error: Error) => {
    restart.abort();
    onCrash(error);
  };
  const known = new Map(EXIT_EVENTS.map((event) => [event, new Set(process.listeners(event as "exit"))]));
  const create = () =>
    new Miniflare(
      convertV4MiniflareOptions({
        host: "127.0.0.1",
        port,
        resourcePersistencePath: state.storage,
        cf: false,
        telemetry: { enabled: false },
        unsafeRuntimeEnv: wrapWorkerd(state),
        log: new RuntimeLog(options, onRestarting, onFailed),
        handleStructuredLogs: ({ message }) => log(message),
        unsafeHandleRuntimeRestart: onRestarted,
        workers: [
          {
            name: "valet",
            modules: [{ type: "ESModule", path: "index.js", contents: script }],
            compatibilityDate: "2026-10-01",
            compatibilityFlags: ["nodejs_compat"],
            durableObjects: {
              SESSION_AGENT: { className: "SessionAgent", useSQLite: true },
              CAPACITY: { className: "Capacity", useSQLite: true },
            },
            d1Databases: { DB: "valet" },
            serviceBindings: {
              PUBLIC_EGRESS: async (request) => Response.json(await egress(request)),
              ASSETS: async (request) => {
                const { status, type, body } = await page.fetch(request);
                return new Response(body, { status, headers: { "content-type": type } });
              },
            },
            bindings,
          },
        ],
      }),
    );
  const miniflare = withTemporaryFiles(state.temporary, create);
  const start = new AbortController();
  const failsEarly = async () => {
    if (await isAbsent(isRunning, start.signal)) throw new Error(ENDED_EARLY);
  };
  try {
    await Promise.race([miniflare.ready, failsEarly()]);
  } catch (error) {
    await dispose(miniflare, state);
    if ((error as MiniflareCoreError).code === "ERR_ADDRESS_IN_USE") throw new PortTakenError(port);
    throw error;
  } finally {
    start.abort();
    // Miniflare exits the whole process on a signal, but the other parts of the system must be stopped first.
    for (const event of EXIT_EVENTS) {
      for (const each of process.listeners(event as "exit")) if (!known.get(event)?.has(each)) process.off(event, each);
    }
  }
  return miniflare;
}

/**
 * Calls a function while `TMPDIR` names this folder. The next start deletes what a killed process left in it; nobody would delete it from
 * the machine's own folder.
 */
function withTemporaryFiles<T>(folder: string, call: () => T): T {
  const { TMPDIR: usual } = process.env;
  mkdirSync(folder, { recursive: true });
  process.env.TMPDIR = folder;
  try {
    return call();
  } finally {
    if (usual === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = usual;
  }
}

/**
 * Ends Miniflare and its workerd. Never rejects. Without a time limit it might never resolve: after a crash of workerd, Miniflare sends its
 * last requests to workerd's port, where another program may listen that answers nothing.
 */
async function dispose(miniflare: Miniflare, state: StateDirectory): Promise<void> {
  const limit = new AbortController();
  const late = sleep(DISPOSE_MS, undefined, { signal: limit.signal })
    .then(() => killWorkerd(state))
    .catch(() => {});
  await Promise.race([miniflare.dispose().catch(() => {}), late]);
  limit.abort();
}

/** Logs the lines that Miniflare writes about workerd. */
class RuntimeLog extends Log {
  readonly #options: Pick<WorkerOptions, "report" | "log">;
  readonly #onRestarting: () => void;
  readonly #onCrash: (error: Error) => void;

  /**
   * @param onRestarting called when workerd crashed and Miniflare begins to restart it
   * @param onCrash called when Miniflare could not restart it
   */
  constructor(
    options: Pick<WorkerOptions, "report" | "log">,
    onRestarting: () => void,
    onCrash: (error: Error) => void,
  ) {
    super(LogLevel.WARN);
    this.#options = options;
    this.#onRestarting = onRestarting;
    this.#onCrash = onCrash;
  }

  override log(message: string): void {
    this.#options.log(message);
  }

  override warn(message: string): void {
    const { report, log } = this.#options;
    if (/crashed/.test(message)) {
      report("The Worker (workerd) crashed and is being restarted.");
      this.#onRestarting();
    } else log(message);
  }

  override error(error: Error): void {
    const isFailure = error instanceof MiniflareCoreError && error.code === "ERR_RUNTIME_FAILURE";
    if (isFailure) this.#onCrash(error.cause instanceof Error ? error.cause : error);
    else this.#options.log(error.message);
  }
}
