/** A whole local Valet: the Worker in workerd, the sandbox broker, and a scripted model if none is configured. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  chooseIsolation,
  lockDirectory,
  type MachineCapacity,
  machineCapacity,
  readLimits,
  type SandboxBroker,
  startSandboxBroker,
} from "@valet/sandbox";
import type { ShippedScenario } from "@valet/scripted-model";
import type { Isolation, Walls } from "@valet/shared/protocol/sandbox-broker";
import type { ShownLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import { hostOf, readTracingConfig } from "@valet/shared/tracing";
import { UserError } from "../errors.ts";
import { capacityVariables, chooseCapacity, type WantedCapacity } from "./capacity.ts";
import type { Containers } from "./containers.ts";
import { ensureToken, newSignInUrl, prepareDatabase } from "./database.ts";
import { diskError, requireKinds, requireSpace, requireWritable } from "./disk-error.ts";
import { chooseModel, type ModelSetup, setUpModel } from "./model.ts";
import { startPage } from "./page.ts";
import { startOnPort } from "./ports.ts";
import { BUN, BUN_FLAGS } from "./programs.ts";
import { runnerProgram } from "./runner-bundle.ts";
import { sayIfSlow } from "./slow-step.ts";
import { type Connection, readConnection, readSecrets, type Uses, writeConnection, writeSecrets } from "./state.ts";
import { openStateDirectory, type StateDirectory, UP_ROLE } from "./state-directory.ts";
import { upgradeState } from "./state-format.ts";
import { startWorker } from "./worker.ts";
import { WORKER_DIR } from "./worker-bundle.ts";
import { createWorkerLog } from "./worker-log.ts";
import { endLeftWorkerd } from "./worker-process.ts";
import { keepUp } from "./worker-upkeep.ts";
import { invalidVariable, workerVariables } from "./worker-variables.ts";

export interface SystemOptions {
  readonly stateDir: string;
  /** The Worker's port; a free one if omitted. */
  readonly port?: number | undefined;
  /** The limits for sandboxes; those of the environment or the machine if omitted. */
  readonly capacity?: WantedCapacity | undefined;
  /** The environment with the settings of the model, the telemetry and the Worker. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What separates agents from this machine; a wall of bubblewrap, if omitted, where that works. With the driver `local` only. */
  readonly isolation?: Isolation | undefined;
  /** What runs the sandboxes: this machine's processes, the default, or containers. */
  readonly driver?: HostDriver | undefined;
  /**
   * Whether sessions in containers may clone repositories that the image has, and end with the system, as the demo's do; neither if
   * omitted.
   */
  readonly containersOfDemo?: "kept" | "temporary" | undefined;
  /** The scenario that the scripted model plays if no model is configured. */
  readonly scenario: ShippedScenario;
  /** Receives log lines while the system runs; standard error if omitted. */
  readonly report?: ((line: string) => void) | undefined;
  /** The Worker's main module, for a benchmark that counts in it; Valet's own if omitted. */
  readonly workerEntry?: string | undefined;
}

/** The drivers that run sandboxes on the host's own machine. */
export const HOST_DRIVERS = ["local", "docker"] as const;
export type HostDriver = (typeof HOST_DRIVERS)[number];

/** How long the database may take for a sign-in link, in ms. */
const SIGN_IN_MS = 5000;

export interface System extends Connection {
  /** The limits for sandboxes. */
  readonly capacity: MachineCapacity;
  /** What separates agents from this machine. */
  readonly isolation: Walls;
  /** Which network sandboxes have; absent where they run elsewhere. */
  readonly network: Network | undefined;
  /** The limits of each sandbox, and by what they hold. */
  readonly limits: ShownLimits | undefined;
  /** Whether a scripted model stands in for a real one. */
  readonly isScripted: boolean;
  /** Returns a new link that signs a browser in to the page, once; `undefined` if the database does not answer in time. Never rejects. */
  signInUrl(): Promise<string | undefined>;
  /** Resolves with the error when the Worker crashes and cannot be restarted. */
  readonly failed: Promise<Error>;
  /** Stops everything that was started. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts everything, and resolves when the API answers.
 * @throws UserError when a port is in use, a variable is invalid or missing, the state cannot be used, or a system
 * already runs on it
 */
export async function startSystem(options: SystemOptions): Promise<System> {
  const { stateDir, port: wantedPort, env, scenario, report = console.error, workerEntry: entry } = options;
  const capacity = chooseCapacity(options.capacity ?? {}, env, machineCapacity());
  const isolation =
    options.driver === "docker"
      ? "container"
      : await chooseIsolation(options.isolation, report).catch((error: Error) => {
          throw new UserError(`${error.message}. Or start with --isolation none.`);
        });
  const invalid = invalidVariable({ ...env, ...chooseModel(env) });
  if (invalid !== undefined) throw new UserError(`${invalid}. Correct it, or unset it, and start again.`);
  const limits = limitsOf(env);
  const state = openStateDirectory(stateDir);
  const unlock = await lockDirectory(state.path, UP_ROLE);
  if (unlock === undefined) throw alreadyRunning(stateDir);
  const stops: (() => unknown)[] = [unlock];
  const stop = async () => {
    // In reverse order: the Worker calls the broker while it stops.
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    requireKinds(state.path);
    requireWritable(state);
    requireSpace(state.path);
    upgradeState(state.path);
    const page = startPage({ fallback: state.page, env, report });
    stops.push(() => page.stop());
    const secrets = readSecrets(state);
    const { brokerSecret, credentialKeys } = secrets;
    const ofBroker = {
      secret: brokerSecret,
      spanLimits: readTracingConfig(env).limits,
      // A sandbox that is being hibernated may still run while the next one starts.
      maxSandboxes: capacity.awake + capacity.starting,
      limits,
      onError: ({ message }: Error) => report(`sandbox broker: ${message}`),
    };
    let containers: Containers | undefined;
    let broker: SandboxBroker;
    if (isolation === "container") {
      // Imported on demand: the engine's library is large.
      const { startContainers } = await import("./containers.ts");
      containers = await startContainers({
        ...ofBroker,
        stateDir: state.path,
        env,
        report,
        isTemporary: options.containersOfDemo === "temporary",
      });
      ({ broker } = containers);
    } else {
      const program = await sayIfSlow("Bundling the runner", report, runnerProgram());
      const entrypoint = [BUN, ...BUN_FLAGS, program] as const;
      broker = await startSandboxBroker({
        ...ofBroker,
        stateDir: state.broker,
        entrypoint: [...entrypoint],
        startsAhead: true,
        isolation,
        onWarning: report,
      }).catch((error: Error) => {
        throw /in use/.test(error.message) ? alreadyRunning(stateDir) : error;
      });
    }
    stops.push(() => (containers ?? broker).close());
    // Versions without a state lock held only the broker's lock, so only now is it certain that no other system runs on
    // this state.
    await endLeftWorkerd(state);
    rmSync(state.temporary, { recursive: true, force: true });
    const model = await setUpModel(env, scenario);
    if (model.scripted !== undefined) stops.push(() => model.scripted?.close());
    const bindings = {
      ...workerVariables(env),
      ...capacityVariables(capacity),
      ...offered(model.variables, containers),
      SANDBOX_BROKER_URL: broker.url,
      SANDBOX_BROKER_SECRET: brokerSecret,
      VALET_CREDENTIAL_KEYS: credentialKeys.join(","),
      // Containers do not have this machine's files.
      VALET_ALLOW_FILE_REPOS: String(containers === undefined || options.containersOfDemo !== undefined),
    };
    const failure = Promise.withResolvers<Error>();
    const log = createWorkerLog(state.workerLog, report);
    const onFailure = failure.resolve;
    // Only now, since an orphaned Worker may have occupied the wanted port.
    const { worker, url } = await startOnPort(wantedPort, async (port) => {
      const url = `http://127.0.0.1:${port}`;
      const ownBindings = { ...bindings, PUBLIC_URL: containers?.bridge.url ?? url };
      const starting = startWorker({ port, state, bindings: ownBindings, page, report, log, onFailure, entry });
      const worker = await sayIfSlow("Waiting for the Worker", report, starting);
      containers?.bridge.setWorker(port);
      return { url, worker };
    });
    // A request for the page may wait for its build.
    stops.push(() => {
      page.stop();
      return worker.stop();
    });
    const db = await worker.database();
    await sayIfSlow("Preparing the database", report, prepareDatabase(db, join(WORKER_DIR, "migrations")));
    const upkeep = new AbortController();
    void keepUp({ run: () => worker.runUpkeep(), log, signal: upkeep.signal });
    stops.push(async () => upkeep.abort());
    const token = await ensureToken(db, secrets.token);
    writeSecrets(state, { ...secrets, token });
    const connection = { url, token, brokerUrl: broker.url, uses: usesOf(model, env, containers) };
    writeConnection(state, { ...connection, isStopped: false });
    let hasFailed = false;
    void failure.promise.then(() => {
      hasFailed = true;
    });
    stops.push(() => {
      if (!hasFailed) markStopped(state, connection);
    });
    const isScripted = model.scripted !== undefined;
    // Asked anew each time: a restart of the Worker gives its database another client.
    // A request to a Worker that crashes meanwhile may never end.
    const link = async () => newSignInUrl(await worker.database(), url, token);
    const signInUrl = () => Promise.race([link().catch(() => undefined), sleep(SIGN_IN_MS, undefined, { ref: false })]);
    return {
      url,
      token,
      capacity,
      isolation,
      network: broker.network,
      limits: broker.limits,
      isScripted,
      signInUrl,
      failed: failure.promise,
      stop,
    };
  } catch (error) {
    await stop();
    throw diskError(state.path, error) ?? error;
  }
}

/** Notes that somebody stops the system. A full disk must not prevent that. */
function markStopped(state: StateDirectory, connection: Connection): void {
  try {
    writeConnection(state, { ...connection, isStopped: true });
  } catch {
    // `valet doctor` then reports that the system died, and how to start it.
  }
}

/** Returns the model's variables with an address that sandboxes reach. */
function offered(variables: ModelSetup["variables"], containers: Containers | undefined): ModelSetup["variables"] {
  const { VALET_MODEL_BASE_URL: baseUrl } = variables;
  if (containers === undefined || baseUrl === undefined) return variables;
  return { ...variables, VALET_MODEL_BASE_URL: containers.bridge.offerModel(baseUrl) };
}

function limitsOf(env: SystemOptions["env"]) {
  try {
    return readLimits(env);
  } catch (error) {
    throw new UserError(`${(error as Error).message}. Correct it, or unset it, and start again.`);
  }
}

function usesOf(
  { variables, scripted }: ModelSetup,
  env: SystemOptions["env"],
  containers: Containers | undefined,
): Uses {
  const { endpoint } = readTracingConfig(env);
  return {
    model: { name: variables.VALET_MODEL ?? "", isScripted: scripted !== undefined },
    backend: endpoint === undefined ? null : hostOf(endpoint),
    ...(containers && { containers: { engine: containers.settings.engine ?? null, image: containers.settings.image } }),
  };
}

function alreadyRunning(stateDir: string): UserError {
  const running = readConnection(stateDir);
  return new UserError(`Valet already runs on ${stateDir}${running === undefined ? "" : ` at ${running.url}`}.`);
}
