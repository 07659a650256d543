/**
 * Sandboxes in containers of an engine that speaks the Docker Engine API. A sandbox is a container, from whose limits nothing of
 * the agent's gets out, and a volume with its files; a snapshot is a volume. All that a broker must know is in their labels, and a
 * supervisor in the container restarts the entrypoint. So sandboxes survive a broker's crash, and the next broker adopts them.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { LIMITS } from "@valet/shared/limits";
import type { RunnerLimits, ShownLimits, WantedLimits } from "@valet/shared/protocol/sandbox-limits";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Container } from "dockerode";
import { machineCapacity } from "../capacity.ts";
import { DISK_FOLDERS, sandboxContainer } from "../docker/container-spec.ts";
import { stateOf, stopReasonOf, textOf } from "../docker/container-state.ts";
import {
  connectEngine,
  describeEngineError,
  type Engine,
  hasImage,
  imageMissing,
  requireEngine,
  statusOf,
  unlessMissing,
} from "../docker/engine.ts";
import { type EngineInfo, type EngineLimits, engineLimits } from "../docker/engine-limits.ts";
import { ensureNetwork, networkOf } from "../docker/network.ts";
import { Volumes, volumeOf } from "../docker/volumes.ts";
import type { CreateOptions, Driver, DriverSandbox, SnapshotResult } from "../driver.ts";
import { lastLineOf } from "../local/last-line.ts";
import { type MachineSize, machineSize } from "../local/limits/wanted-limits.ts";
import { BrokerError } from "../problem.ts";
import { supervisorCommand, supervisorInput } from "../remote/supervisor.ts";
import { ANY_SESSION, isSameAttempt, nameOf, readTags, sessionTag, tagsOf } from "../remote/tags.ts";
import type { Steps } from "../request-trace.ts";
import { RESTART, type RestartPolicy } from "../restart.ts";

export interface DockerDriverOptions {
  /** The engine's address, as in `DOCKER_HOST`; that variable's value, or else Docker's usual socket, if omitted. */
  readonly engine?: string | undefined;
  /** The image of the sandboxes, as `valet image build` makes it. */
  readonly image: string;
  /** Names the sandboxes of one broker. Brokers with other names leave them alone; one broker at a time uses a name. */
  readonly scope: string;
  /** The engine's network that sandboxes join; one of the scope's own if omitted. */
  readonly network?: string | undefined;
  /** The program to start in each sandbox, with its arguments. */
  readonly entrypoint: readonly [string, ...string[]];
  /** The limits of each sandbox; those that are omitted fit the engine's machine. */
  readonly limits?: WantedLimits | undefined;
  /** How many sandboxes may be awake at once; as many as fit on this machine if omitted. */
  readonly maxSandboxes?: number | undefined;
  readonly restart?: Partial<RestartPolicy> | undefined;
  /** Receives errors of background work. */
  readonly onError: (error: Error) => void;
}

/** The label with the broker's scope. */
const SCOPE = "valet-scope";
/** How many lines of a log are read to find the last one that says something. */
const LOG_LINES = 5;

/**
 * Starts the driver. Removes what an earlier broker of the same scope left unfinished, and ends the sandboxes that it did not finish
 * replacing: of a session with several sandboxes, all but the newest generation's. The others keep running.
 * @throws Error when the engine cannot be reached, or does not have the image
 */
export async function startDockerDriver(options: DockerDriverOptions): Promise<Driver> {
  const engine = connectEngine(options.engine);
  await requireEngine(engine);
  if (!(await hasImage(engine, options.image)))
    throw new Error(`Sandboxes cannot start: ${imageMissing(options.image)}`);
  try {
    const network = options.network ?? (await ensureNetwork(engine, networkOf(options.scope))).name;
    const info: EngineInfo & { readonly DockerRootDir?: string } = await engine.info();
    const limits = engineLimits(info, options.limits ?? {}, sizeBeside(info.DockerRootDir), DISK_FOLDERS);
    const driver = new DockerDriver(options, engine, network, limits);
    await driver.removeOrphans();
    return driver;
  } catch (error) {
    throw new Error(`The container engine cannot be used: ${describeEngineError(error)}`, { cause: error });
  }
}

/** Returns this machine's size, with the disk that the engine's folder is on, if the engine is here. */
function sizeBeside(folder: string | undefined): MachineSize {
  return machineSize(folder !== undefined && existsSync(folder) ? folder : "/");
}

class DockerDriver implements Driver {
  readonly name = "docker";
  readonly isolation = "container";
  readonly limits: ShownLimits;
  readonly #options: DockerDriverOptions;
  readonly #engine: Engine;
  readonly #network: string;
  readonly #volumes: Volumes;
  readonly #maxSandboxes: number;
  readonly #limits: RunnerLimits;
  /** Containers that this broker is starting or terminating. Of all others the engine knows the state. */
  readonly #underWay = new Map<string, "starting" | "terminating">();
  /** The tokens of the sandboxes that this broker has started. */
  readonly #tokens = new Map<string, string>();
  /** Sandboxes whose container does not exist yet. */
  #planned = 0;
  /** Ends under way, since an engine refuses to remove a container a second time meanwhile (409). */
  readonly #endings = new Map<string, Promise<void>>();
  readonly #calls = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(options: DockerDriverOptions, engine: Engine, network: string, limits: EngineLimits) {
    this.#options = options;
    this.#engine = engine;
    this.#network = network;
    this.#volumes = new Volumes(engine, options.image, { [SCOPE]: options.scope });
    this.#limits = limits.ofRunner;
    this.limits = limits.shown;
    this.#maxSandboxes = options.maxSandboxes ?? machineCapacity().awake;
  }

  create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    return this.#call("start_failed", async () => {
      if ((await this.countAwake()) + this.#planned >= this.#maxSandboxes) throw new BrokerError("capacity");
      this.#planned++;
      try {
        return await this.#create(options, steps, this.#untilClosed(limit));
      } finally {
        this.#planned--;
      }
    });
  }

  get(id: string): Promise<DriverSandbox | undefined> {
    return this.#call("internal", async () => (await this.#find(id))?.described);
  }

  list(sessionId: string): Promise<DriverSandbox[]> {
    return this.#call("internal", () => this.#list(sessionTag(sessionId)));
  }

  async countAwake(): Promise<number> {
    return (await this.#listIn("running", "paused")).length;
  }

  snapshot(id: string, steps: Steps, callLimit: AbortSignal): Promise<SnapshotResult> {
    const limit = this.#untilClosed(callLimit);
    return this.#call("snapshot_failed", async () => {
      const { container, info, described } = await this.#mustBeThere(id);
      const volume = volumeOf(info.Mounts);
      if (volume === undefined) throw new BrokerError("sandbox_gone");
      const { sessionId } = described.sandbox;
      const snapshotId = await this.#volumes.create("snapshot", sessionTag(sessionId));
      try {
        const sizeBytes = await steps.run("valet.sandbox.pause", {}, async (within) => {
          const isRunning = described.sandbox.state === "running";
          if (isRunning) await container.pause();
          try {
            return await within.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, () =>
              this.#volumes.copy(volume, snapshotId, "snapshot_failed", limit),
            );
          } finally {
            // It may have been terminated meanwhile.
            if (isRunning) await container.unpause().catch(() => {});
          }
        });
        return await steps.run("valet.sandbox.commit", { "valet.snapshot.id": snapshotId }, async (_, span) => {
          span.setAttributes({ "valet.snapshot.size_bytes": sizeBytes });
          if (!(await this.#volumes.hasSnapshot(snapshotId))) throw new BrokerError("snapshot_failed");
          // Of a sandbox that ended meanwhile the engine may have copied nothing.
          await this.#mustBeThere(id);
          return { snapshotId, sizeBytes };
        });
      } catch (error) {
        await this.#volumes.remove(snapshotId).catch((problem) => this.#report(problem));
        // Whatever the engine says of a container that it is just removing.
        if (this.#underWay.get(id) === "terminating") throw new BrokerError("sandbox_gone");
        if (!limit.aborted) await this.#mustBeThere(id);
        throw error;
      }
    });
  }

  terminate(id: string, steps: Steps): Promise<boolean> {
    return this.#call("terminate_failed", async () => {
      if ((await this.#find(id)) === undefined) return false;
      await steps.run("valet.sandbox.process_stop", {}, () => this.#end(id));
      return true;
    });
  }

  deleteSnapshot(id: string, steps: Steps): Promise<boolean> {
    return this.#call("internal", async () => {
      if (!(await this.#volumes.hasSnapshot(id))) return false;
      return steps.run("valet.sandbox.remove", { "valet.snapshot.id": id }, () => this.#volumes.remove(id));
    });
  }

  /** Stops all sandboxes, whose files stay; the next broker finds them as `stopped`. Copies under way are given up. */
  async close(): Promise<void> {
    this.#closing.abort(new BrokerError("shutting_down"));
    await Promise.allSettled(this.#calls);
    try {
      const running = await this.#listIn("running", "paused");
      const results = await Promise.allSettled(running.map(({ Id }) => this.#stop(this.#engine.getContainer(Id))));
      for (const result of results) if (result.status === "rejected") this.#report(result.reason);
    } catch (error) {
      this.#report(error);
    }
  }

  async removeOrphans(): Promise<void> {
    const newest = new Map<string, number>();
    const all = await this.#list(ANY_SESSION);
    for (const { sandbox } of all) {
      newest.set(sandbox.sessionId, Math.max(sandbox.generation, newest.get(sandbox.sessionId) ?? 0));
    }
    // One that never started has no files, and nobody knows its id.
    const orphans = all.filter(
      ({ sandbox }) => sandbox.generation !== newest.get(sandbox.sessionId) || sandbox.state === "starting",
    );
    const results = await Promise.allSettled(orphans.map(({ sandbox }) => this.#end(sandbox.id)));
    for (const result of results) if (result.status === "rejected") this.#report(result.reason);
    await this.#volumes.removeOrphans();
    // A broker that died during a snapshot has left its sandbox paused.
    for (const { Id } of await this.#listIn("paused")) {
      await this.#engine
        .getContainer(Id)
        .unpause()
        .catch((error) => this.#report(error));
    }
  }

  /** Returns this broker's containers in these states of the engine. */
  #listIn(...status: ("running" | "paused")[]) {
    return this.#engine.listContainers({ all: true, filters: { label: this.#filter(ANY_SESSION), status } });
  }

  /** Returns a signal that ends work with its limit, or when this broker closes. */
  #untilClosed(limit: AbortSignal): AbortSignal {
    return AbortSignal.any([limit, this.#closing.signal]);
  }

  async #create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    const labels = { ...tagsOf(options, Date.now(), randomUUID()), [SCOPE]: this.#options.scope };
    const container = await steps.run("valet.sandbox.prepare", {}, (within) =>
      this.#make(options, labels, within, limit),
    );
    if (container === undefined) return this.#existing(options);
    const { id } = container;
    this.#underWay.set(id, "starting");
    this.#tokens.set(id, options.runnerToken);
    steps.describe({ "valet.sandbox.id": id });
    try {
      await steps.run("valet.sandbox.process_start", {}, () =>
        start(container, supervisorInput(id, options.runnerToken)),
      );
      if (this.#underWay.get(id) === "terminating") throw new BrokerError("sandbox_gone");
      limit.throwIfAborted();
    } catch (error) {
      await this.#end(id).catch((problem) => this.#report(problem));
      throw error;
    } finally {
      if (this.#underWay.get(id) === "starting") this.#underWay.delete(id);
    }
    return readTags(labels, { id, driver: "docker", isolation: "user", state: "running" }) as DriverSandbox;
  }

  /** Returns `undefined` when another call has already created a container of this name. */
  async #make(
    options: CreateOptions,
    labels: Record<string, string>,
    steps: Steps,
    limit: AbortSignal,
  ): Promise<Container | undefined> {
    const { snapshotId } = options;
    if (snapshotId !== undefined && !(await this.#volumes.hasSnapshot(snapshotId))) {
      throw new BrokerError("not_found", `no snapshot ${snapshotId}`);
    }
    const volume = await this.#volumes.create("sandbox", sessionTag(options.sessionId));
    try {
      if (snapshotId !== undefined) {
        await steps.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, () =>
          this.#volumes.copy(snapshotId, volume, "start_failed", limit),
        );
      }
      limit.throwIfAborted();
      // What prunes the engine removes a network that no sandbox uses.
      if (this.#options.network === undefined) await ensureNetwork(this.#engine, this.#network);
      return await this.#engine.createContainer(
        sandboxContainer({
          name: this.#nameOf(options),
          image: this.#options.image,
          labels,
          volume,
          network: this.#network,
          limits: this.#limits,
          command: supervisorCommand(this.#options.entrypoint, { ...RESTART, ...this.#options.restart }, true),
          env: options.env,
          isRestored: snapshotId !== undefined,
        }),
      );
    } catch (error) {
      const holder = await unlessMissing(this.#engine.getContainer(this.#nameOf(options)).inspect()).catch(
        () => undefined,
      );
      // The answer to the very call that created it may have been lost.
      if (holder !== undefined && isSameAttempt(holder.Config.Labels, labels))
        return this.#engine.getContainer(holder.Id);
      await this.#volumes.remove(volume).catch((problem) => this.#report(problem));
      if (holder !== undefined) return undefined;
      if (!(await hasImage(this.#engine, this.#options.image).catch(() => true))) {
        throw new BrokerError("start_failed", imageMissing(this.#options.image), { cause: error });
      }
      throw error;
    }
  }

  /** Returns the sandbox that another call created for the same generation. */
  async #existing(options: CreateOptions): Promise<DriverSandbox> {
    const { Id } = await this.#engine.getContainer(this.#nameOf(options)).inspect();
    const { described } = await this.#mustBeThere(Id);
    if (described.fingerprint !== options.fingerprint) throw new BrokerError("generation_conflict");
    return described;
  }

  async #list(tags: Record<string, string>): Promise<DriverSandbox[]> {
    const all = await this.#engine.listContainers({ all: true, filters: { label: this.#filter(tags) } });
    const found = await Promise.all(all.map(({ Id }) => this.#find(Id)));
    return found.flatMap((each) => (each === undefined ? [] : [each.described]));
  }

  async #mustBeThere(id: string) {
    const found = await this.#find(id);
    if (found === undefined || found.described.sandbox.state === "terminating") throw new BrokerError("sandbox_gone");
    return found;
  }

  /** Returns `undefined` when the sandbox is gone, or is not one of this broker's. */
  async #find(id: string) {
    // An engine also knows containers by their names and by the beginnings of their ids.
    if (!/^[0-9a-f]{64}$/.test(id)) return undefined;
    const container = this.#engine.getContainer(id);
    const info = await unlessMissing(container.inspect());
    if (info === undefined || info.Config.Labels[SCOPE] !== this.#options.scope) return undefined;
    const state = this.#underWay.get(id) ?? stateOf(info.State);
    const described = readTags(info.Config.Labels, {
      id,
      driver: this.name,
      isolation: "user",
      state,
      ...(state === "stopped" && {
        stopReason: stopReasonOf(info.State),
        ...withoutUndefined({ lastLogLine: await this.#lastLine(container) }),
      }),
    });
    return described === undefined ? undefined : { container, info, described };
  }

  /** Returns the last line of the entrypoint's log if there is one, and this broker knows the token that it must not show. */
  async #lastLine(container: Container): Promise<string | undefined> {
    const token = this.#tokens.get(container.id);
    if (token === undefined) return undefined;
    const frames = await container.logs({ stdout: true, stderr: true, tail: LOG_LINES }).catch(() => undefined);
    return frames && lastLineOf(textOf(frames), [token]);
  }

  /** Resolves when the container, its name and its volume are free. Calls at once share the work. */
  #end(id: string): Promise<void> {
    const ending = this.#endings.get(id) ?? this.#endOnce(id).finally(() => this.#endings.delete(id));
    this.#endings.set(id, ending);
    return ending;
  }

  async #endOnce(id: string): Promise<void> {
    this.#underWay.set(id, "terminating");
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new BrokerError("terminate_failed", "the engine did not end the sandbox in time")),
      LIMITS.remoteKillMs,
    );
    try {
      await Promise.race([this.#remove(this.#engine.getContainer(id)), late.promise]);
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(id);
      this.#tokens.delete(id);
    }
  }

  async #remove(container: Container): Promise<void> {
    const info = await unlessMissing(container.inspect());
    if (info === undefined) return;
    if (info.State.Running) await this.#stop(container);
    await unlessMissing(container.remove({ force: true }));
    const volume = volumeOf(info.Mounts);
    if (volume === undefined) return;
    // A snapshot under way would keep the volume.
    await this.#volumes.endCopies(volume);
    await this.#volumes.remove(volume);
  }

  /** Asks the sandbox's processes to end, and kills them after the grace period. */
  async #stop(container: Container): Promise<void> {
    // A paused container reads no signal.
    await container.unpause().catch(() => {});
    try {
      await container.stop({ t: Math.ceil(LIMITS.processGraceMs / 1000) });
    } catch (error) {
      // 304: it has ended already.
      if (statusOf(error) !== 304 && statusOf(error) !== 404) throw error;
    }
  }

  #nameOf(options: CreateOptions): string {
    return `${nameOf(options)}-${this.#options.scope}`;
  }

  /** Returns a filter for this broker's containers with these labels. */
  #filter(tags: Readonly<Record<string, string>>): string[] {
    const all = { ...tags, [SCOPE]: this.#options.scope };
    return Object.entries(all).map(([key, value]) => (value === "" ? key : `${key}=${value}`));
  }

  #report(error: unknown): void {
    this.#options.onError(
      error instanceof BrokerError ? error : new Error(describeEngineError(error), { cause: error }),
    );
  }

  /** Runs a call that {@link close} waits for. Replaces the text of unexpected errors, which may quote variables. */
  async #call<T>(code: "start_failed" | "snapshot_failed" | "terminate_failed" | "internal", work: () => Promise<T>) {
    this.#closing.signal.throwIfAborted();
    const call = work().catch((error: unknown) => {
      if (error instanceof BrokerError) throw error;
      throw new BrokerError(code, describeEngineError(error), { cause: error });
    });
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }
}

/** Starts a container, and gives its command the only input that it ever gets. */
async function start(container: Container, input: string): Promise<void> {
  const stdin = await container.attach({ stream: true, stdin: true, hijack: true });
  try {
    await container.start();
    await new Promise<void>((resolve, reject) => {
      stdin.once("error", reject);
      stdin.end(input, resolve);
    });
  } finally {
    // Nobody reads the output here, and the engine keeps it.
    stdin.on("error", () => {});
    stdin.resume?.();
  }
}
