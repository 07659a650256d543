/** One sandbox of the `local` driver, from its first file to its last process. */

import { lstatSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FINAL_EXIT_CODES, type Isolation, type Sandbox, type StopReason } from "@valet/shared/protocol/sandbox-broker";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { CreateOptions, DriverSandbox } from "../driver.ts";
import { Mutex } from "../mutex.ts";
import { BrokerError, withoutPath } from "../problem.ts";
import type { Steps } from "../request-trace.ts";
import type { RestartPolicy } from "../restart.ts";
import { endProcesses, pauseProcesses } from "./end-processes.ts";
import { type RunningEntrypoint, startEntrypoint, type WaitingEntrypoint } from "./entrypoint.ts";
import { lastLogLine } from "./last-line.ts";
import type { LocalLimits } from "./limits/local-limits.ts";
import { LogFile } from "./log-file.ts";
import { SANDBOX_ID_VARIABLE, type SandboxProcesses } from "./process-table.ts";
import { restoreSnapshot, type TakenSnapshot, takeSnapshot } from "./snapshots.ts";
import { commonVariables, endSpare, type Spare } from "./spare-entrypoint.ts";
import {
  deleteFolder,
  KEPT_FOLDERS,
  NETWORK_FOLDER,
  newId,
  RUNNER_FOLDER,
  type SandboxRecord,
  type StateDirectory,
  setAside,
} from "./state-directory.ts";

/** Settings that all sandboxes of a driver share. */
export interface SandboxSettings {
  readonly state: StateDirectory;
  readonly brokerId: string;
  readonly entrypoint: readonly [string, ...string[]];
  /** The entrypoint's `PATH`. */
  readonly path: string;
  /** What separates the agents from the machine. The entrypoint builds it. */
  readonly isolation: Isolation;
  readonly network: Network;
  readonly limits: LocalLimits;
  /** How long processes may take to exit by themselves. */
  readonly graceMs: number;
  /** How long killed processes may take to disappear, and paused ones to stop. */
  readonly timeoutMs: number;
  readonly restart: RestartPolicy;
  readonly maxLogBytes: number;
  /** Receives errors of background work. */
  readonly onError: (error: Error) => void;
}

/** How long to wait for a dead entrypoint's last output to be in the log, in ms. */
const LOG_TIMEOUT_MS = 1_000;

/** Only in memory, and only for a new sandbox: a later broker cannot restart the entrypoint. */
type Secrets = Pick<CreateOptions, "env" | "runnerToken">;

export class LocalSandbox {
  readonly #settings: SandboxSettings;
  /** Serializes starts, snapshots, restarts and removals. */
  readonly #work = new Mutex();
  /** Aborted, with the error for the caller, when the sandbox must not start anything any more. */
  readonly #ending = new AbortController();
  readonly #secrets: Secrets;
  /** The entrypoint that was started ahead for this sandbox, until it is used. */
  #spare: Spare | undefined;
  #record: SandboxRecord;
  /** Whether the sandbox's folder exists. */
  #exists: boolean;

  private constructor(
    settings: SandboxSettings,
    record: SandboxRecord,
    exists: boolean,
    secrets: Secrets,
    spare?: Spare,
  ) {
    this.#spare = spare;
    this.#settings = settings;
    this.#record = record;
    this.#exists = exists;
    this.#secrets = secrets;
  }

  /**
   * Returns a new sandbox, of which nothing exists before {@link create}.
   * @param spare the entrypoint to use; one is started if it is omitted
   */
  static plan(settings: SandboxSettings, options: CreateOptions, spare?: Spare): LocalSandbox {
    const { sessionId, generation, snapshotId, fingerprint, env, runnerToken } = options;
    const record: SandboxRecord = {
      id: spare?.sandboxId ?? newId("sb"),
      sessionId,
      generation,
      state: "starting",
      createdAt: new Date().toISOString(),
      ...withoutUndefined({ snapshotId }),
      restartCount: 0,
      fingerprint,
      brokerId: settings.brokerId,
    };
    return new LocalSandbox(settings, record, false, { env, runnerToken }, spare);
  }

  /** Returns a sandbox of an earlier broker: its processes have ended, its files exist. */
  static recover(settings: SandboxSettings, record: SandboxRecord): LocalSandbox {
    const sandbox = new LocalSandbox(settings, record, true, { env: {}, runnerToken: "" });
    if (record.state === "running") sandbox.#update({ state: "stopped", stopReason: "broker_lost" });
    return sandbox;
  }

  get id(): string {
    return this.#record.id;
  }

  /** Returns what callers see of the sandbox. */
  describe(): DriverSandbox {
    const { id, sessionId, generation, state, createdAt, snapshotId, restartCount, stopReason, lastLogLine } =
      this.#record;
    const sandbox: Sandbox = {
      id,
      sessionId,
      generation,
      state,
      driver: "local",
      isolation: this.#settings.isolation,
      createdAt,
      restartCount,
      ...withoutUndefined({ snapshotId, stopReason, lastLogLine }),
    };
    return { sandbox, fingerprint: this.#record.fingerprint };
  }

  /** Whether somebody else removed its files: nothing is left that a snapshot could keep, though its processes may still run. */
  get isGone(): boolean {
    const { state } = this.#record;
    // Where the files of all sandboxes are away, they may come back.
    if ((state !== "running" && state !== "stopped") || !this.#settings.state.checkSandboxes()) return false;
    return KEPT_FOLDERS.every((folder) => isMissing(join(this.#folder, folder)));
  }

  /** Creates the sandbox. @throws BrokerError; nothing is left behind then */
  create(steps: Steps, limit: AbortSignal): Promise<void> {
    return this.#work.run(async () => {
      try {
        await steps.run("valet.sandbox.prepare", {}, async () => this.#settings.state.makeSandbox(this.#record));
        this.#exists = true;
        const { snapshotId } = this.#record;
        if (snapshotId !== undefined) {
          await restoreSnapshot(this.#settings.state, snapshotId, this.#folder, this.#command(limit), steps);
        }
        const entrypoint = await steps.run("valet.sandbox.process_start", {}, () => this.#startEntrypoint());
        this.#ending.signal.throwIfAborted();
        limit.throwIfAborted();
        this.#update({ state: "running" });
        void this.#supervise(entrypoint);
      } catch (error) {
        if (this.#spare !== undefined) await endSpare(this.#spare, this.#settings).catch(this.#settings.onError);
        await this.#remove(steps);
        throw this.#problem("start_failed", error, limit);
      }
    });
  }

  /** Takes a snapshot. @throws BrokerError */
  snapshot(steps: Steps, limit: AbortSignal): Promise<TakenSnapshot> {
    return this.#work.run(async () => {
      try {
        this.#ending.signal.throwIfAborted();
        if (this.isGone) throw new BrokerError("sandbox_gone");
        const { timeoutMs, state } = this.#settings;
        const pause = () => pauseProcesses(this.#processes, timeoutMs);
        return await takeSnapshot(state, { ...this.#command(limit), sessionId: this.#record.sessionId, pause }, steps);
      } catch (error) {
        throw this.#problem("snapshot_failed", error, limit);
      }
    });
  }

  /**
   * Ends the sandbox's processes and removes its files; interrupts other work on it. Returns `false` when that was
   * already done.
   * @throws BrokerError `terminate_failed`; the call can be retried
   */
  terminate(steps: Steps): Promise<boolean> {
    this.#ending.abort(new BrokerError("sandbox_gone"));
    this.#update({ state: "terminating" });
    return this.#work.run(() => this.#remove(steps));
  }

  /** Ends the sandbox's processes and keeps its files. */
  close(): Promise<void> {
    this.#ending.abort(new BrokerError("shutting_down"));
    return this.#work.run(async () => {
      await endProcesses(this.#processes, this.#settings);
      if (this.#record.state === "running") this.#update({ state: "stopped", stopReason: "broker_stopped" });
    });
  }

  get #folder(): string {
    return this.#settings.state.sandbox(this.#record.sessionId);
  }

  get #logPath(): string {
    return join(this.#folder, "log", "entrypoint.log");
  }

  get #processes(): SandboxProcesses {
    return { sandboxId: this.#record.id, leader: this.#record.leader };
  }

  #command(limit: AbortSignal) {
    return { sandboxId: this.#record.id, signal: AbortSignal.any([this.#ending.signal, limit]) };
  }

  /** Returns the reason for `error`: the sandbox is ending, the time is up, or the error itself. */
  #problem(code: "start_failed" | "snapshot_failed", error: unknown, limit: AbortSignal): BrokerError {
    for (const { aborted, reason } of [this.#ending.signal, limit]) if (aborted) return reason as BrokerError;
    if (error instanceof BrokerError) return error;
    return new BrokerError(code, withoutPath(error), { cause: error });
  }

  async #remove(steps: Steps): Promise<boolean> {
    if (!this.#exists) return false;
    try {
      await steps.run("valet.sandbox.process_stop", {}, async () => {
        await endProcesses(this.#processes, this.#settings);
        await this.#settings.limits.remove(this.#record.id);
      });
      await steps.run("valet.sandbox.remove", {}, async () => {
        const aside = setAside(this.#folder);
        this.#exists = false;
        if (aside !== undefined) await deleteFolder(aside, this.#record.id);
      });
    } catch (error) {
      throw new BrokerError("terminate_failed", withoutPath(error), { cause: error });
    }
    return true;
  }

  async #startEntrypoint(): Promise<RunningEntrypoint> {
    this.#ending.signal.throwIfAborted();
    const { entrypoint: command, maxLogBytes, path } = this.#settings;
    const { id, restartCount } = this.#record;
    // What a request sets may replace the language, for example, and nothing that the broker sets.
    const common = commonVariables(path, id);
    const env = { ...common, ...this.#secrets.env, ...this.#variables(), PATH: path, [SANDBOX_ID_VARIABLE]: id };
    const input = { token: this.#secrets.runnerToken, restartCount };
    const log = new LogFile(this.#logPath, maxLogBytes);
    const ahead = this.#takeSpare();
    const entrypoint = ahead ?? (await startEntrypoint(command, env));
    this.#update({ leader: entrypoint.identity });
    return entrypoint.begin(ahead === undefined ? input : { ...input, env }, log);
  }

  /** Returns the entrypoint that was started ahead, once, if it has not ended meanwhile. */
  #takeSpare(): WaitingEntrypoint | undefined {
    const entrypoint = this.#spare?.entrypoint;
    this.#spare = undefined;
    return entrypoint?.hasExited() === true ? undefined : entrypoint;
  }

  /** Returns what the entrypoint must know about the sandbox. */
  #variables(): Record<string, string> {
    const { isolation, network, limits } = this.#settings;
    const folder = this.#folder;
    return {
      HOME: join(folder, "home"),
      TMPDIR: join(folder, "tmp"),
      VALET_WORKSPACE: join(folder, "workspace"),
      VALET_RUNNER_STATE: join(folder, RUNNER_FOLDER),
      VALET_RESTORED: this.#record.snapshotId === undefined ? "0" : "1",
      VALET_ISOLATION: isolation,
      ...(network === "own" && { VALET_NETWORK_FOLDER: join(folder, NETWORK_FOLDER) }),
      VALET_SANDBOX_LIMITS: JSON.stringify(limits.forSandbox(this.#record.id, folder)),
    };
  }

  /**
   * Restarts the entrypoint whenever it dies, until the sandbox ends, the exit code forbids a restart, or it has died
   * too often in a row.
   */
  async #supervise(first: RunningEntrypoint): Promise<void> {
    const { limit, delayMs, maxDelayMs, stableMs } = this.#settings.restart;
    let entrypoint: RunningEntrypoint | undefined = first;
    for (let deaths = 0; ; deaths++) {
      const startedAt = performance.now();
      const exitCode = (await entrypoint?.exited) ?? null;
      if (performance.now() - startedAt >= stableMs) deaths = 0;
      const stopReason = stopReasonOf(exitCode, deaths >= limit);
      await this.#work.run(() => this.#endOrphans(entrypoint, stopReason));
      if (stopReason !== undefined) return;
      const waitMs = Math.min(delayMs * 2 ** deaths, maxDelayMs);
      await sleep(waitMs, undefined, { signal: this.#ending.signal }).catch(() => {});
      if (this.#ending.signal.aborted) return;
      entrypoint = await this.#work.run(() => this.#restart());
    }
  }

  /** Ends the processes that a dead entrypoint left running, before a new entrypoint starts its own. */
  async #endOrphans(entrypoint: RunningEntrypoint | undefined, stopReason: StopReason | undefined): Promise<void> {
    if (this.#ending.signal.aborted) return;
    await endProcesses(this.#processes, this.#settings).catch(this.#settings.onError);
    if (stopReason === undefined) return;
    await Promise.race([entrypoint?.logged, sleep(LOG_TIMEOUT_MS)]);
    if (this.#ending.signal.aborted) return;
    const lastLine = lastLogLine(this.#logPath, [this.#secrets.runnerToken]);
    this.#update({ state: "stopped", stopReason, ...withoutUndefined({ lastLogLine: lastLine }) });
  }

  async #restart(): Promise<RunningEntrypoint | undefined> {
    if (this.#ending.signal.aborted) return undefined;
    this.#update({ restartCount: this.#record.restartCount + 1 });
    try {
      return await this.#startEntrypoint();
    } catch (error) {
      this.#settings.onError(error as Error);
      return undefined;
    }
  }

  /** The memory is authoritative; the disk serves the next broker, which copes with a stale record. */
  #update(changes: Partial<SandboxRecord>): void {
    this.#record = { ...this.#record, ...changes };
    if (!this.#exists) return;
    try {
      this.#settings.state.writeRecord(this.#record);
    } catch (error) {
      this.#settings.onError(error as Error);
    }
  }
}

function stopReasonOf(exitCode: number | null, diedTooOften: boolean): StopReason | undefined {
  if (exitCode !== null && FINAL_EXIT_CODES.includes(exitCode)) return "entrypoint_ended";
  return diedTooOften ? "entrypoint_failed" : undefined;
}

/** Returns whether nothing is there. An error of the disk does not tell that. */
function isMissing(path: string): boolean {
  try {
    lstatSync(path);
    return false;
  } catch (error) {
    return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}
