/**
 * Sandboxes on this machine: each a folder and a group of processes. It keeps sessions apart by agreement only and is no
 * security boundary: an agent can read and end whatever the broker's own user can.
 */
import { randomUUID } from "node:crypto";
import { existsSync, renameSync } from "node:fs";
import { LIMITS } from "@valet/shared/limits";
import { machineCapacity } from "../capacity.ts";
import type { CreateOptions, Driver, DriverSandbox, SnapshotResult } from "../driver.ts";
import { endProcesses } from "../local/end-processes.ts";
import { makePrivateDirectory } from "../local/private-directory.ts";
import { LocalSandbox, type SandboxSettings } from "../local/sandbox.ts";
import { deleteSnapshot } from "../local/snapshots.ts";
import { startGuardian } from "../local/start-guardian.ts";
import { deleteFolder, type SandboxRecord, StateDirectory, setAside } from "../local/state-directory.ts";
import { lockStateDirectory } from "../local/state-lock.ts";
import { BrokerError } from "../problem.ts";
import type { Steps } from "../request-trace.ts";
import { RESTART, type RestartPolicy } from "../restart.ts";

export interface LocalDriverOptions {
  /** Where sandboxes and snapshots are kept; made if missing, and used by one broker at a time. */
  readonly stateDir: string;
  /** The program that is started in each sandbox, and its arguments. */
  readonly entrypoint: readonly [string, ...string[]];
  /** The sandboxes' `PATH`; this process' own unless given. */
  readonly path?: string | undefined;
  /**
   * How many sandboxes may be awake at once; what this machine has room for unless given. One more is refused with `capacity`.
   * Those that are stopped do not count: they are files only.
   */
  readonly maxSandboxes?: number | undefined;
  /** How long a sandbox's processes may take to end by themselves, in ms; 5,000 unless given. */
  readonly graceMs?: number | undefined;
  readonly restart?: Partial<RestartPolicy> | undefined;
  /** The most that one log file of a sandbox may have, of which there are two; 1 MiB unless given. */
  readonly maxLogBytes?: number | undefined;
  /** Told of what goes wrong when no caller waits for it; unless given, it is written to standard error. */
  readonly onError?: ((error: Error) => void) | undefined;
}

/**
 * Starts the driver. What an earlier broker left running on the same directory is ended first; sandboxes that were running
 * are `stopped` then, with their files.
 * @throws when the directory is in use or cannot be made, or where there is no /proc
 */
export async function startLocalDriver(options: LocalDriverOptions): Promise<Driver> {
  if (!existsSync("/proc/self/stat")) {
    throw new Error(
      "The local driver needs Linux: it finds a sandbox's processes in /proc, which this system does not have",
    );
  }
  const stateDir = makePrivateDirectory(options.stateDir);
  const state = new StateDirectory(stateDir);
  const unlock = await lockStateDirectory(stateDir);
  try {
    state.make();
    const settings: SandboxSettings = {
      state,
      brokerId: randomUUID(),
      entrypoint: options.entrypoint,
      path: options.path ?? process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin",
      graceMs: options.graceMs ?? LIMITS.processGraceMs,
      timeoutMs: LIMITS.killMs,
      restart: { ...RESTART, ...options.restart },
      maxLogBytes: options.maxLogBytes ?? 1024 * 1024,
      onError: options.onError ?? ((error) => console.error(`sandbox broker: ${error.message}`)),
    };
    const { sandboxes, cleaning } = await recover(settings);
    const dismissGuardian = await startGuardian(stateDir, settings.brokerId, settings.onError);
    const maxSandboxes = options.maxSandboxes ?? machineCapacity().awake;
    return new LocalDriver(settings, maxSandboxes, sandboxes, async () => {
      await cleaning;
      await dismissGuardian();
      unlock();
    });
  } catch (error) {
    unlock();
    throw error;
  }
}

class LocalDriver implements Driver {
  readonly name = "local";
  readonly #settings: SandboxSettings;
  readonly #maxSandboxes: number;
  readonly #sandboxes: Map<string, LocalSandbox>;
  readonly #release: () => Promise<void>;
  #isClosed = false;

  constructor(
    settings: SandboxSettings,
    maxSandboxes: number,
    sandboxes: readonly LocalSandbox[],
    release: () => Promise<void>,
  ) {
    this.#settings = settings;
    this.#maxSandboxes = maxSandboxes;
    this.#sandboxes = new Map(sandboxes.map((each) => [each.id, each]));
    this.#release = release;
  }

  async create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    if (this.#isClosed) throw new BrokerError("shutting_down");
    const awake = [...this.#sandboxes.values()].filter((each) => each.describe().sandbox.state !== "stopped");
    if (awake.length >= this.#maxSandboxes) throw new BrokerError("capacity");
    const sandbox = LocalSandbox.plan(this.#settings, options);
    steps.describe({ "valet.sandbox.id": sandbox.id });
    this.#sandboxes.set(sandbox.id, sandbox);
    try {
      await sandbox.create(steps, limit);
    } catch (error) {
      // What could not be removed is kept in mind, so that it can be terminated.
      if (!(error instanceof BrokerError && error.code === "terminate_failed")) this.#sandboxes.delete(sandbox.id);
      throw error;
    }
    return sandbox.describe();
  }

  async get(id: string): Promise<DriverSandbox | undefined> {
    return this.#sandboxes.get(id)?.describe();
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
    return wasThere;
  }

  deleteSnapshot(id: string, steps: Steps): Promise<boolean> {
    return steps.run("valet.sandbox.remove", { "valet.snapshot.id": id }, () =>
      deleteSnapshot(this.#settings.state, id),
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const sandboxes = [...this.#sandboxes.values()];
    const results = await Promise.allSettled(sandboxes.map((each) => each.close()));
    for (const result of results) if (result.status === "rejected") this.#settings.onError(result.reason);
    await this.#release();
  }
}

/** Ends what is left of earlier brokers' sandboxes and takes over those that have files worth keeping. */
async function recover(settings: SandboxSettings): Promise<{ sandboxes: LocalSandbox[]; cleaning: Promise<unknown> }> {
  const { state, timeoutMs, onError } = settings;
  const records = state.readRecords((folder) => {
    const aside = `${folder}.${randomUUID()}.unreadable`;
    renameSync(folder, aside);
    onError(new Error(`a sandbox's record cannot be read; its files are kept in ${aside}`));
  });
  await Promise.all(
    records.map(({ id, leader }) => endProcesses({ sandboxId: id, leader }, { graceMs: 0, timeoutMs }).catch(onError)),
  );
  // One that was never ready has nothing of its own, one that was being removed shall have nothing.
  const isWorthKeeping = ({ state }: SandboxRecord) => state === "running" || state === "stopped";
  for (const record of records) if (!isWorthKeeping(record)) setAside(state.sandbox(record.sessionId));
  // Large ones take their time, and nobody waits for them.
  const cleaning = Promise.all(state.leftOvers().map((path) => deleteFolder(path, "left-over").catch(onError)));
  return {
    sandboxes: records.filter(isWorthKeeping).map((record) => LocalSandbox.recover(settings, record)),
    cleaning,
  };
}
