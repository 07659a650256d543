/** The containers of one broker's sandboxes: which there are, in which state, and how they end. */
import { LIMITS } from "@valet/shared/limits";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Container, ContainerInspectInfo } from "dockerode";
import type { DriverSandbox } from "../driver.ts";
import { lastLineOf } from "../local/last-line.ts";
import { BrokerError } from "../problem.ts";
import { ANY_SESSION, readTags } from "../remote/tags.ts";
import { stateOf, stopReasonOf, textOf } from "./container-state.ts";
import { type Engine, statusOf, unlessMissing } from "./engine.ts";
import { type Volumes, volumeOf } from "./volumes.ts";

/** The label with the broker's scope. */
export const SCOPE = "valet-scope";
/** How many lines of a log are read to find the last one that says something. */
const LOG_LINES = 5;

export interface FoundContainer {
  readonly container: Container;
  readonly info: ContainerInspectInfo;
  readonly described: DriverSandbox;
}

export class SandboxContainers {
  readonly #engine: Engine;
  readonly #scope: string;
  readonly #volumes: Volumes;
  /** Containers that this broker is starting or terminating. Of all others the engine knows the state. */
  readonly #underWay = new Map<string, "starting" | "terminating">();
  /** The tokens of the sandboxes that this broker has started. */
  readonly #tokens = new Map<string, string>();
  /** Ends under way, since an engine refuses to remove a container a second time meanwhile (409). */
  readonly #endings = new Map<string, Promise<void>>();

  constructor(engine: Engine, scope: string, volumes: Volumes) {
    this.#engine = engine;
    this.#scope = scope;
    this.#volumes = volumes;
  }

  /** Notes that a container is being started. */
  starting(id: string, runnerToken: string): void {
    this.#underWay.set(id, "starting");
    this.#tokens.set(id, runnerToken);
  }

  /** Notes that a container has started, or that it has not. */
  started(id: string): void {
    if (this.#underWay.get(id) === "starting") this.#underWay.delete(id);
  }

  isTerminating(id: string): boolean {
    return this.#underWay.get(id) === "terminating";
  }

  /** Returns those in these states of the engine. */
  listIn(...status: ("running" | "paused")[]) {
    return this.#engine.listContainers({ all: true, filters: { label: this.#filter(ANY_SESSION), status } });
  }

  /** @param tags that they have; a tag with an empty value may have any */
  async list(tags: Readonly<Record<string, string>>): Promise<DriverSandbox[]> {
    const all = await this.#engine.listContainers({ all: true, filters: { label: this.#filter(tags) } });
    const found = await Promise.all(all.map(({ Id }) => this.find(Id)));
    return found.flatMap((each) => (each === undefined ? [] : [each.described]));
  }

  /** Returns `undefined` when the sandbox is gone, or is not one of this broker's. */
  async find(id: string): Promise<FoundContainer | undefined> {
    // An engine also knows containers by their names and by the beginnings of their ids.
    if (!/^[0-9a-f]{64}$/.test(id)) return undefined;
    const container = this.#engine.getContainer(id);
    const info = await unlessMissing(container.inspect());
    if (info === undefined || info.Config.Labels[SCOPE] !== this.#scope) return undefined;
    const state = this.#underWay.get(id) ?? stateOf(info.State);
    const described = readTags(info.Config.Labels, {
      id,
      driver: "docker",
      isolation: "user",
      state,
      ...(state === "stopped" && {
        stopReason: stopReasonOf(info.State),
        ...withoutUndefined({ lastLogLine: await this.#lastLine(container) }),
      }),
    });
    return described === undefined ? undefined : { container, info, described };
  }

  /** @throws BrokerError `sandbox_gone` */
  async mustBeThere(id: string): Promise<FoundContainer> {
    // Whatever the engine says of one that it is just removing.
    if (this.isTerminating(id)) throw new BrokerError("sandbox_gone");
    const found = await this.find(id);
    if (found === undefined || found.described.sandbox.state === "terminating") throw new BrokerError("sandbox_gone");
    return found;
  }

  /** Returns the last line of the entrypoint's log if there is one, and this broker knows the token that it must not show. */
  async #lastLine(container: Container): Promise<string | undefined> {
    const token = this.#tokens.get(container.id);
    if (token === undefined) return undefined;
    const frames = await container.logs({ stdout: true, stderr: true, tail: LOG_LINES }).catch(() => undefined);
    return frames && lastLineOf(textOf(frames), [token]);
  }

  /** Resolves when the container, its name and its volume are free. Calls at once share the work. */
  end(id: string): Promise<void> {
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
    if (info.State.Running) await this.stop(container.id);
    await unlessMissing(container.remove({ force: true }));
    const volume = volumeOf(info.Mounts);
    if (volume === undefined) return;
    // A snapshot under way would keep the volume.
    await this.#volumes.endCopies(volume);
    await this.#volumes.remove(volume);
  }

  /** Asks the sandbox's processes to end, and kills them after the grace period. Its files stay. */
  async stop(id: string): Promise<void> {
    const container = this.#engine.getContainer(id);
    // A paused container reads no signal.
    await container.unpause().catch(() => {});
    try {
      await container.stop({ t: Math.ceil(LIMITS.processGraceMs / 1000) });
    } catch (error) {
      // 304: it has ended already.
      if (statusOf(error) !== 304 && statusOf(error) !== 404) throw error;
    }
  }

  /** Resumes what a broker that died during a snapshot has left paused. */
  async resumeAll(report: (error: unknown) => void): Promise<void> {
    for (const { Id } of await this.listIn("paused")) await this.#engine.getContainer(Id).unpause().catch(report);
  }

  /** Returns a filter for this broker's containers with these labels. */
  #filter(tags: Readonly<Record<string, string>>): string[] {
    const all = { ...tags, [SCOPE]: this.#scope };
    return Object.entries(all).map(([key, value]) => (value === "" ? key : `${key}=${value}`));
  }
}
