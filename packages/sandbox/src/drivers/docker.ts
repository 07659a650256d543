/**
 * Sandboxes in containers of an engine that speaks the Docker Engine API. A sandbox is a container, from whose limits nothing of
 * the agent's gets out, and a volume with its files; a snapshot is a volume. All that a broker must know is in their labels, and a
 * supervisor in the container restarts the entrypoint. So sandboxes survive a broker's crash, and the next broker adopts them.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import type { ShownLimits, WantedLimits } from "@valet/shared/protocol/sandbox-limits";
import { machineCapacity } from "../capacity.ts";
import { DISK_FOLDERS } from "../docker/container-spec.ts";
import {
  answers,
  connectEngine,
  describeEngineError,
  type Engine,
  hasImage,
  imageMissing,
  requireEngine,
} from "../docker/engine.ts";
import { type EngineInfo, engineLimits } from "../docker/engine-limits.ts";
import { ContainerMaker, start } from "../docker/make-container.ts";
import { ensureNetwork, networkOf } from "../docker/network.ts";
import { SandboxContainers, SCOPE } from "../docker/sandbox-containers.ts";
import { lockScope } from "../docker/scope-lock.ts";
import { snapshotContainer } from "../docker/snapshot-container.ts";
import { Volumes } from "../docker/volumes.ts";
import type { CreateOptions, Driver, DriverSandbox, SnapshotResult } from "../driver.ts";
import { type MachineSize, machineSize } from "../local/limits/wanted-limits.ts";
import { BrokerError } from "../problem.ts";
import { supervisorInput } from "../remote/supervisor.ts";
import { ANY_SESSION, readTags, sessionTag, tagsOf } from "../remote/tags.ts";
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
  /** Whether sandboxes and snapshots end with the broker, with all their files; they stay if omitted. */
  readonly isTemporary?: boolean | undefined;
  /** Receives errors of background work. */
  readonly onError: (error: Error) => void;
}

/**
 * Starts the driver. Removes what an earlier broker of the same scope left unfinished, and ends the sandboxes that it did not finish
 * replacing: of a session with several sandboxes, all but the newest generation's. The others keep running.
 * @throws Error when the engine cannot be reached, does not have the image, or another broker of this machine has the scope
 */
export async function startDockerDriver(options: DockerDriverOptions): Promise<Driver> {
  const { image, scope, onError } = options;
  const engine = connectEngine(options.engine);
  await requireEngine(engine);
  if (!(await hasImage(engine, image))) throw new Error(`Sandboxes cannot start: ${imageMissing(image)}`);
  const info: EngineInfo & { readonly DockerRootDir?: string; readonly Name?: string } = await engine
    .info()
    .catch((error) => {
      throw unusable(error);
    });
  // An engine may have several addresses. Podman's has no id that lasts.
  const unlock = await lockScope(`${info.Name} ${info.DockerRootDir}`, scope);
  try {
    const network = options.network ?? (await ensureNetwork(engine, networkOf(scope))).name;
    const limits = engineLimits(info, options.limits ?? {}, sizeBeside(info.DockerRootDir), DISK_FOLDERS);
    const volumes = new Volumes(engine, image, { [SCOPE]: scope });
    const report = (error: unknown) =>
      onError(error instanceof BrokerError ? error : new Error(describeEngineError(error), { cause: error }));
    const maker = new ContainerMaker({
      ...{ engine, volumes, image, scope, network, limits: limits.ofRunner, entrypoint: options.entrypoint },
      isOwnNetwork: options.network === undefined,
      restart: { ...RESTART, ...options.restart },
      onError: report,
    });
    const containers = new SandboxContainers(engine, scope, volumes);
    const maxSandboxes = options.maxSandboxes ?? machineCapacity().awake;
    const { isTemporary = false } = options;
    const found = { limits: limits.shown, maxSandboxes, isTemporary };
    const parts = { engine, scope, volumes, maker, containers, ...found, report, unlock };
    const driver = new DockerDriver(parts);
    await driver.removeOrphans();
    return driver;
  } catch (error) {
    await unlock();
    throw unusable(error);
  }
}

function unusable(error: unknown): Error {
  return new Error(`The container engine cannot be used: ${describeEngineError(error)}`, { cause: error });
}

const UNANSWERED = "the engine does not answer, so its sandboxes are not stopped";

/** Returns this machine's size, with the disk that the engine's folder is on, if the engine is here. */
function sizeBeside(folder: string | undefined): MachineSize {
  return machineSize(folder !== undefined && existsSync(folder) ? folder : "/");
}

interface Parts {
  readonly engine: Engine;
  readonly scope: string;
  readonly volumes: Volumes;
  readonly maker: ContainerMaker;
  readonly containers: SandboxContainers;
  readonly maxSandboxes: number;
  readonly limits: ShownLimits;
  /** Whether nothing stays. */
  readonly isTemporary: boolean;
  /** Receives errors of background work. */
  readonly report: (error: unknown) => void;
  /** Gives the scope back. */
  readonly unlock: () => Promise<void>;
}

class DockerDriver implements Driver {
  readonly name = "docker";
  readonly isolation = "container";
  readonly limits: ShownLimits;
  readonly #parts: Parts;
  readonly #volumes: Volumes;
  readonly #containers: SandboxContainers;
  /** Sandboxes whose container does not exist yet. */
  #planned = 0;
  readonly #calls = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#volumes = parts.volumes;
    this.#containers = parts.containers;
    this.limits = parts.limits;
  }

  create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    return this.#call("start_failed", async () => {
      if ((await this.countAwake()) + this.#planned >= this.#parts.maxSandboxes) throw new BrokerError("capacity");
      this.#planned++;
      try {
        return await this.#create(options, steps, this.#untilClosed(limit));
      } finally {
        this.#planned--;
      }
    });
  }

  get(id: string): Promise<DriverSandbox | undefined> {
    return this.#call("internal", async () => (await this.#containers.find(id))?.described);
  }

  list(sessionId: string): Promise<DriverSandbox[]> {
    return this.#call("internal", () => this.#containers.list(sessionTag(sessionId)));
  }

  async countAwake(): Promise<number> {
    return (await this.#containers.listIn("running", "paused")).length;
  }

  snapshot(id: string, steps: Steps, callLimit: AbortSignal): Promise<SnapshotResult> {
    const { volumes, containers, report: onError } = this.#parts;
    const limit = this.#untilClosed(callLimit);
    return this.#call("snapshot_failed", () => snapshotContainer({ volumes, containers, id, steps, limit, onError }));
  }

  terminate(id: string, steps: Steps): Promise<boolean> {
    return this.#call("terminate_failed", async () => {
      if ((await this.#containers.find(id)) === undefined) return false;
      await steps.run("valet.sandbox.process_stop", {}, () => this.#containers.end(id));
      return true;
    });
  }

  snapshotsOf(id: string): Promise<string[]> {
    return this.#call("terminate_failed", () => this.#volumes.snapshotsOf(id));
  }

  deleteSnapshot(id: string, steps: Steps): Promise<boolean> {
    return this.#call("internal", async () => {
      if (!(await this.#volumes.hasSnapshot(id))) return false;
      return steps.run("valet.sandbox.remove", { "valet.snapshot.id": id }, () => this.#volumes.remove(id));
    });
  }

  /**
   * Stops all sandboxes, whose files stay unless they are temporary; the next broker finds them as `stopped`. Copies under way are given
   * up.
   */
  async close(): Promise<void> {
    this.#closing.abort(new BrokerError("shutting_down"));
    const { engine, report, unlock } = this.#parts;
    try {
      // Sandboxes that an engine does not stop now go on until the scope's next broker.
      if (!(await answers(engine))) throw new BrokerError("internal", UNANSWERED);
      await Promise.allSettled(this.#calls);
      const results = await Promise.allSettled(await this.#endAll());
      for (const result of results) if (result.status === "rejected") report(result.reason);
      if (this.#parts.isTemporary) await this.#volumes.removeAll();
    } catch (error) {
      report(error);
    } finally {
      await unlock();
    }
  }

  async #endAll(): Promise<Promise<void>[]> {
    if (this.#parts.isTemporary) {
      return (await this.#containers.list(ANY_SESSION)).map(({ sandbox }) => this.#containers.end(sandbox.id));
    }
    return (await this.#containers.listIn("running", "paused")).map(({ Id }) => this.#containers.stop(Id));
  }

  async removeOrphans(): Promise<void> {
    const newest = new Map<string, number>();
    const all = await this.#containers.list(ANY_SESSION);
    for (const { sandbox } of all) {
      newest.set(sandbox.sessionId, Math.max(sandbox.generation, newest.get(sandbox.sessionId) ?? 0));
    }
    // One that never started has no files, and nobody knows its id.
    const orphans = all.filter(
      ({ sandbox }) => sandbox.generation !== newest.get(sandbox.sessionId) || sandbox.state === "starting",
    );
    const { report } = this.#parts;
    const results = await Promise.allSettled(orphans.map(({ sandbox }) => this.#containers.end(sandbox.id)));
    for (const result of results) if (result.status === "rejected") report(result.reason);
    await this.#volumes.removeOrphans();
    await this.#containers.resumeAll(report);
  }

  /** Returns a signal that ends work with its limit, or when this broker closes. */
  #untilClosed(limit: AbortSignal): AbortSignal {
    return AbortSignal.any([limit, this.#closing.signal]);
  }

  async #create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    const { maker, scope, report } = this.#parts;
    const labels = { ...tagsOf(options, Date.now(), randomUUID()), [SCOPE]: scope };
    const container = await steps.run("valet.sandbox.prepare", {}, (within) =>
      maker.make(options, labels, within, limit),
    );
    if (container === undefined) return this.#existing(options);
    const { id } = container;
    this.#containers.starting(id, options.runnerToken);
    steps.describe({ "valet.sandbox.id": id });
    try {
      await steps.run("valet.sandbox.process_start", {}, () =>
        start(container, supervisorInput(id, options.runnerToken)),
      );
      if (this.#containers.isTerminating(id)) throw new BrokerError("sandbox_gone");
      limit.throwIfAborted();
    } catch (error) {
      await this.#containers.end(id).catch(report);
      throw error;
    } finally {
      this.#containers.started(id);
    }
    return readTags(labels, { id, driver: "docker", isolation: "user", state: "running" }) as DriverSandbox;
  }

  /** Returns the sandbox that another call created for the same generation. */
  async #existing(options: CreateOptions): Promise<DriverSandbox> {
    const { engine, maker } = this.#parts;
    const { Id } = await engine.getContainer(maker.nameOf(options)).inspect();
    const { described } = await this.#containers.mustBeThere(Id);
    if (described.fingerprint !== options.fingerprint) throw new BrokerError("generation_conflict");
    return described;
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
