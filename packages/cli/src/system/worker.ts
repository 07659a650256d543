/** The Worker in workerd, by Miniflare, which starts workerd again when it crashes. */
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare, MiniflareCoreError } from "miniflare";
import { UserError } from "../errors.ts";
import type { StateDirectory } from "./state-directory.ts";
import { bundleWorker } from "./worker-bundle.ts";
import { wrapWorkerd } from "./worker-process.ts";

export interface WorkerOptions {
  /** The port of the loopback that it listens on. */
  readonly port: number;
  readonly state: StateDirectory;
  readonly bindings: Record<string, string>;
  /** Takes what the Worker logs and what becomes of its process. */
  readonly report: (line: string) => void;
  /** Called when workerd has crashed and cannot be started again. */
  readonly onFailure: (error: Error) => void;
}

const EXIT_EVENTS = ["SIGINT", "SIGTERM", "exit"] as const;

/** @throws UserError when the port was taken meanwhile */
export async function startWorker(options: WorkerOptions): Promise<Miniflare> {
  const { port, state, bindings, report } = options;
  const known = new Map(EXIT_EVENTS.map((event) => [event, new Set(process.listeners(event as "exit"))]));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port,
      resourcePersistencePath: state.storage,
      cf: false,
      telemetry: { enabled: false },
      unsafeRuntimeEnv: wrapWorkerd(state),
      log: new WorkerLog(options),
      handleStructuredLogs: ({ message }) => report(message),
      unsafeHandleRuntimeRestart: () =>
        report("The Worker runs again. What it had in memory is lost, its state is not."),
      workers: [
        {
          name: "valet",
          modules: [{ type: "ESModule", path: "index.js", contents: await bundleWorker() }],
          compatibilityDate: "2026-10-01",
          compatibilityFlags: ["nodejs_compat"],
          durableObjects: {
            SESSION_AGENT: { className: "SessionAgent", useSQLite: true },
            CAPACITY: { className: "Capacity", useSQLite: true },
          },
          d1Databases: { DB: "valet" },
          bindings,
        },
      ],
    }),
  );
  try {
    await miniflare.ready;
  } catch (error) {
    await miniflare.dispose().catch(() => {});
    if ((error as MiniflareCoreError).code === "ERR_ADDRESS_IN_USE") throw new UserError(`Port ${port} is taken.`);
    throw error;
  } finally {
    // Miniflare ends the whole process on a signal; what else was started has to be stopped first.
    for (const event of EXIT_EVENTS) {
      for (const each of process.listeners(event as "exit")) if (!known.get(event)?.has(each)) process.off(event, each);
    }
  }
  return miniflare;
}

/** What Miniflare says of workerd. */
class WorkerLog extends Log {
  readonly #options: WorkerOptions;

  constructor(options: WorkerOptions) {
    super(LogLevel.WARN);
    this.#options = options;
  }

  override log(message: string): void {
    this.#options.report(message);
  }

  override warn(message: string): void {
    this.#options.report(/crashed/.test(message) ? "The Worker (workerd) crashed and is started again." : message);
  }

  override error(error: Error): void {
    const isFailure = error instanceof MiniflareCoreError && error.code === "ERR_RUNTIME_FAILURE";
    if (isFailure) this.#options.onFailure(error.cause instanceof Error ? error.cause : error);
    else this.#options.report(error.message);
  }
}
