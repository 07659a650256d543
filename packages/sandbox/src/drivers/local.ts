/**
 * Sandboxes on this machine: each is a folder and a process group. Their entrypoint puts the agent behind a wall where the machine
 * allows one (isolation.ts); without it an agent can read and kill everything that the broker's user can.
 */
import { randomUUID } from "node:crypto";
import { existsSync, renameSync } from "node:fs";
import { LIMITS } from "@valet/shared/limits";
import type { CheckRepository, Isolation, RepositoryState } from "@valet/shared/protocol/sandbox-broker";
import type { ShownLimits, WantedLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import { machineCapacity } from "../capacity.ts";
import type { CreateOptions, Driver, DriverSandbox, SnapshotResult } from "../driver.ts";
import { endProcesses } from "../local/end-processes.ts";
import { chooseIsolation } from "../local/isolation.ts";
import { LocalLimits } from "../local/limits/local-limits.ts";
import { chooseNetwork } from "../local/network.ts";
import { makePrivateDirectory } from "../local/private-directory.ts";
import { RepositoryChecks } from "../local/repository-checks.ts";
import { LocalSandbox, type SandboxSettings } from "../local/sandbox.ts";
import { deleteSnapshot, snapshotsOf } from "../local/snapshots.ts";
import { SpareEntrypoint } from "../local/spare-entrypoint.ts";
import { startGuardian } from "../local/start-guardian.ts";
import { deleteFolder, type SandboxRecord, StateDirectory, setAside } from "../local/state-directory.ts";
import { lockStateDirectory } from "../local/state-lock.ts";
import { BrokerError } from "../problem.ts";
import type { Steps } from "../request-trace.ts";
import { RESTART, type RestartPolicy } from "../restart.ts";

export interface LocalDriverOptions {
  /** Holds sandboxes and snapshots; created if missing. One broker uses it at a time. */
  readonly stateDir: string;
  /** The program to start in each sandbox, with its arguments. */
  readonly entrypoint: readonly [string, ...string[]];
  /**
   * Whether the entrypoint may be started before it is known for which sandbox, and then gets that sandbox's variables with its input.
   * The broker keeps one such process while no sandbox starts.
   */
  readonly startsAhead?: boolean | undefined;
  /** For how long no sandbox must have been created before one is started ahead, in ms; 5,000 if omitted. */
  readonly quietMs?: number | undefined;
  /** What separates agents from this machine; a wall of bubblewrap, if omitted, where that works. */
  readonly isolation?: Isolation | undefined;
  /** Which network agents behind a wall have; one of their own, if omitted, where that works. */
  readonly network?: Network | undefined;
  /** The limits of each sandbox; those that are omitted fit the machine. */
  readonly limits?: WantedLimits | undefined;
  /** Receives a line that says loudly what cannot be had here; written to standard error if omitted. */
  readonly onWarning?: ((line: string) => void) | undefined;
  /** The sandboxes' `PATH`; that of this process if omitted. */
  readonly path?: string | undefined;
  /**
   * How many sandboxes may be awake at once; as many as fit on this machine if omitted. Further ones are refused with
   * `capacity`. Stopped sandboxes do not count, since they are only files.
   */
  readonly maxSandboxes?: number | undefined;
  /** How long a sandbox's processes may take to exit after SIGTERM, in ms; 5,000 if omitted. */
  readonly graceMs?: number | undefined;
  readonly restart?: Partial<RestartPolicy> | undefined;
  /** The maximum size of each of a sandbox's two log files, in bytes; 1 MiB if omitted. */
  readonly maxLogBytes?: number | undefined;
  /** Receives errors of background work; written to standard error if omitted. */
  readonly onError?: ((error: Error) => void) | undefined;
}

const awayText = (path: string) =>
  `The folder of all sandboxes, ${path}, is missing, or another folder is in its place. Until it is back, snapshots fail, and no sandbox counts as removed. Mount its disk, or move it back; if it was restored from a copy, stop Valet and start it again, so that it uses the copy.`;

/**
 * Starts the driver. First ends the processes that an earlier broker left running on the same directory; their
 * sandboxes become `stopped` and keep their files.
 * @throws when the directory is in use or cannot be created, or when there is no /proc
 */
export async function startLocalDriver(options: LocalDriverOptions): Promise<Driver> {
  if (!existsSync("/proc/self/stat")) {
    throw new Error("The local driver needs Linux: it finds a sandbox's processes in /proc, which this system lacks");
  }
  const stateDir = makePrivateDirectory(options.stateDir);
  const warn = options.onWarning ?? ((line: string) => console.error(`valet-sandbox-broker: ${line}`));
  const state = new StateDirectory(stateDir, () => warn(awayText(state.sandboxes)));
  const unlock = await lockStateDirectory(stateDir);
  try {
    state.make();
    const brokerId = randomUUID();
    const isolation = await chooseIsolation(options.isolation, warn);
    // First, while nothing else starts processes, which would have to leave the broker's control group, too.
    const limits = await LocalLimits.open(stateDir, brokerId, options.limits ?? {}, isolation, warn);
    const network = options.network ?? (await chooseNetwork(isolation, warn));
    const settings: SandboxSettings = {
      state,
      brokerId,
      entrypoint: options.entrypoint,
      isolation,
      network,
      limits,
      path: options.path ?? process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin",
      graceMs: options.graceMs ?? LIMITS.processGraceMs,
      timeoutMs: LIMITS.killMs,
      restart: { ...RESTART, ...options.restart },
      maxLogBytes: options.maxLogBytes ?? 1024 * 1024,
      onError: options.onError ?? ((error) => console.error(`sandbox broker: ${error.message}`)),
    };
    const { sandboxes, cleaning } = await recover(settings);
    const dismissGuardian = await startGuardian(stateDir, brokerId, settings.onError);
    const maxSandboxes = options.maxSandboxes ?? machineCapacity().awake;
    return new LocalDriver(settings, options, maxSandboxes, sandboxes, async () => {
      await cleaning;
      await dismissGuardian();
      await limits.close().catch(settings.onError);
      unlock();
    });
  } catch (error) {
    unlock();
    throw error;
  }
}

class LocalDriver implements Driver {
  readonly name = "local";
  readonly isolation: Isolation;
  readonly network: Network;
  readonly limits: ShownLimits;
  readonly #settings: SandboxSettings;
  readonly #maxSandboxes: number;
  readonly #sandboxes: Map<string, LocalSandbox>;
  readonly #release: () => Promise<void>;
  readonly #repositories = new RepositoryChecks();
  readonly #spare: SpareEntrypoint | undefined;
  #isClosed = false;

  constructor(
    settings: SandboxSettings,
    { startsAhead = false, quietMs }: Pick<LocalDriverOptions, "startsAhead" | "quietMs">,
    maxSandboxes: number,
    sandboxes: readonly LocalSandbox[],
    release: () => Promise<void>,
  ) {
    this.#settings = settings;
    this.isolation = settings.isolation;
    this.network = settings.network;
    this.limits = settings.limits.shown;
    this.#maxSandboxes = maxSandboxes;
    this.#sandboxes = new Map(sandboxes.map((each) => [each.id, each]));
    this.#release = release;
    const hasRoom = () => this.countAwake() < maxSandboxes;
    if (startsAhead) this.#spare = new SpareEntrypoint({ ...settings, quietMs, hasRoom });
    this.#spare?.prepare();
  }

  async create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    if (this.#isClosed) throw new BrokerError("shutting_down");
    if (this.countAwake() >= this.#maxSandboxes) throw new BrokerError("capacity");
    const sandbox = LocalSandbox.plan(this.#settings, options, this.#spare?.take());
    steps.describe({ "valet.sandbox.id": sandbox.id });
    this.#sandboxes.set(sandbox.id, sandbox);
    try {
      await sandbox.create(steps, limit);
    } catch (error) {
      // A sandbox that could not be removed stays in the map, so that it can still be terminated.
      if (!(error instanceof BrokerError && error.code === "terminate_failed")) this.#sandboxes.delete(sandbox.id);
      throw error;
    } finally {
      this.#spare?.prepare();
    }
    return sandbox.describe();
  }

  checkRepository(request: CheckRepository, limit: AbortSignal): Promise<RepositoryState> {
    return this.#repositories.of(request, limit);
  }

  countAwake(): number {
    return [...this.#sandboxes.values()].filter((each) => each.describe().sandbox.state !== "stopped").length;
  }

  async get(id: string): Promise<DriverSandbox | undefined> {
    const sandbox = this.#sandboxes.get(id);
    // Its processes are ended when the session replaces it.
    return sandbox?.isGone === true ? undefined : sandbox?.describe();
  }

  async list(sessionId: string): Promise<DriverSandbox[]> {
    return [...this.#sandboxes.values()]
      .map((each) => each.describe())
      .filter(({ sandbox }) => sandbox.sessionId === sessionId);
  }

  async snapshot(id: string, steps: Steps, limit: AbortSignal): Promise<SnapshotResult> {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined) throw new BrokerError("sandbox_gone");
    return sandbox.snapshot(steps, limit);
  }

  async terminate(id: string, steps: Steps): Promise<boolean> {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined) return false;
    const wasThere = await sandbox.terminate(steps);
    this.#sandboxes.delete(id);
    // There may not have been room for it before.
    this.#spare?.prepare();
    return wasThere;
  }

  snapshotsOf(id: string): Promise<string[]> {
    return snapshotsOf(this.#settings.state, id);
  }

  deleteSnapshot(id: string, steps: Steps): Promise<boolean> {
    return steps.run("valet.sandbox.remove", { "valet.snapshot.id": id }, () =>
      deleteSnapshot(this.#settings.state, id),
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const closing = [...this.#sandboxes.values(), this.#spare].map((each) => each?.close());
    const results = await Promise.allSettled(closing);
    for (const result of results) if (result.status === "rejected") this.#settings.onError(result.reason);
    await this.#release();
  }
}

/**
 * Ends the orphaned processes of earlier brokers' sandboxes, and adopts the sandboxes that have files worth keeping.
 */
async function recover(settings: SandboxSettings): Promise<{ sandboxes: LocalSandbox[]; cleaning: Promise<unknown> }> {
  const { state, timeoutMs, onError } = settings;
  const records = state.readRecords((folder) => {
    const aside = `${folder}.${randomUUID()}.unreadable`;
    renameSync(folder, aside);
    onError(new Error(`a sandbox's record is unreadable; its files are kept in ${aside}`));
  });
  await Promise.all(
    records.map(({ id, leader }) => endProcesses({ sandboxId: id, leader }, { graceMs: 0, timeoutMs }).catch(onError)),
  );
  // A sandbox that was never ready has no files worth keeping, and one that was being removed should lose them.
  const isWorthKeeping = ({ state }: SandboxRecord) => state === "running" || state === "stopped";
  for (const record of records) if (!isWorthKeeping(record)) setAside(state.sandbox(record.sessionId));
  // In the background, since large folders take long to delete.
  const cleaning = Promise.all(
    state.unfinishedFolders().map((path) => deleteFolder(path, "unfinished").catch(onError)),
  );
  return {
    sandboxes: records.filter(isWorthKeeping).map((record) => LocalSandbox.recover(settings, record)),
    cleaning,
  };
}
