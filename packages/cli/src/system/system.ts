/** The whole of Valet on this machine: the Worker in workerd, the sandbox broker, and a model if none is configured. */
import { join } from "node:path";
import { startSandboxBroker } from "@valet/sandbox";
import type { ShippedScenario } from "@valet/scripted-model";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { UserError } from "../errors.ts";
import { ensureToken, prepareDatabase } from "./database.ts";
import { setUpModel } from "./model.ts";
import { freePort } from "./ports.ts";
import { BUN, BUN_FLAGS, RUNNER } from "./programs.ts";
import {
  type Connection,
  openStateDirectory,
  readConnection,
  readSecrets,
  type StateDirectory,
  writeConnection,
  writeSecrets,
} from "./state.ts";
import { bundleWorker, WORKER_DIR } from "./worker-bundle.ts";
import { endLeftWorkerd, forgetWorkerd, rememberWorkerd } from "./workerd-processes.ts";

export interface SystemOptions {
  readonly stateDir: string;
  /** Of the Worker; a free one unless given. */
  readonly port?: number | undefined;
  /** Where the model, the telemetry and the Worker's own variables are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The scenario that the scripted model plays where no model is configured. */
  readonly scenario: ShippedScenario;
}

export interface System extends Connection {
  /** Whether a scripted model stands in for a real one. */
  readonly isScripted: boolean;
  /** Stops all that was started. May be called again. */
  stop(): Promise<void>;
}

const EXIT_EVENTS = ["SIGINT", "SIGTERM", "exit"] as const;

/**
 * Starts everything, and resolves when the API answers.
 * @throws UserError when a port is taken, a variable does not suffice, or a system already runs on the state
 */
export async function startSystem({ stateDir, port, env, scenario }: SystemOptions): Promise<System> {
  const state = openStateDirectory(stateDir);
  const secrets = readSecrets(state);
  const { brokerSecret } = secrets;
  const stops: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    // The last started first: the Worker still speaks to the broker while it goes.
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const url = `http://127.0.0.1:${await freePort(port)}`;
    const broker = await startSandboxBroker({
      stateDir: state.broker,
      secret: brokerSecret,
      entrypoint: [BUN, ...BUN_FLAGS, RUNNER],
    }).catch((error: Error) => {
      throw /in use/.test(error.message) ? alreadyRunning(stateDir) : error;
    });
    stops.push(() => broker.close());
    // Only now is it sure that no other system runs on this state.
    endLeftWorkerd(state.path);
    const model = await setUpModel(env, scenario);
    if (model.scripted !== undefined) stops.push(() => model.scripted?.close() ?? Promise.resolve());
    const bindings = {
      ...workerVariables(env),
      ...model.variables,
      PUBLIC_URL: url,
      SANDBOX_BROKER_URL: broker.url,
      SANDBOX_BROKER_SECRET: brokerSecret,
      VALET_ALLOW_FILE_REPOS: "true",
    };
    const miniflare = await startWorker(url, state, bindings);
    stops.push(async () => {
      await miniflare.dispose();
      forgetWorkerd(state.path);
    });
    const db = await miniflare.getD1Database("DB");
    await prepareDatabase(db, join(WORKER_DIR, "migrations"));
    const token = await ensureToken(db, secrets.token);
    writeSecrets(state, { ...secrets, token });
    writeConnection(state, { url, token });
    return { url, token, isScripted: model.scripted !== undefined, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function alreadyRunning(stateDir: string): UserError {
  const running = readConnection(stateDir);
  return new UserError(`Valet already runs on ${stateDir}${running === undefined ? "" : ` at ${running.url}`}.`);
}

/** The variables that configure the Worker itself: telemetry, and intervals. */
function workerVariables(env: SystemOptions["env"]): Record<string, string> {
  const ours = Object.entries(env).filter(([name]) => /^(OTEL_|VALET_\w+_MS$)/.test(name));
  return Object.fromEntries(ours.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

async function startWorker(url: string, state: StateDirectory, bindings: Record<string, string>): Promise<Miniflare> {
  const known = new Map(EXIT_EVENTS.map((event) => [event, new Set(process.listeners(event as "exit"))]));
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: Number(new URL(url).port),
      resourcePersistencePath: state.storage,
      cf: false,
      telemetry: { enabled: false },
      workers: [
        {
          name: "valet",
          modules: [{ type: "ESModule", path: "index.js", contents: await bundleWorker() }],
          compatibilityDate: "2026-10-01",
          compatibilityFlags: ["nodejs_compat"],
          durableObjects: { SESSION_AGENT: { className: "SessionAgent", useSQLite: true } },
          d1Databases: { DB: "valet" },
          bindings,
        },
      ],
    }),
  );
  await miniflare.ready;
  // Miniflare ends the whole process on a signal; what else was started has to be stopped first.
  for (const event of EXIT_EVENTS) {
    for (const each of process.listeners(event as "exit")) if (!known.get(event)?.has(each)) process.off(event, each);
  }
  rememberWorkerd(state.path);
  return miniflare;
}
