/**
 * The volumes of sandboxes and snapshots. A snapshot is a volume of its own: an image of a container lacks its volumes, and a copy
 * inside the engine needs neither a store of the broker's nor a way through its memory, whichever machine the engine runs on.
 */
import { randomUUID } from "node:crypto";
import type { Container } from "dockerode";
import { BrokerError } from "../problem.ts";
import { copyContainer } from "./container-spec.ts";
import { type CopiedFiles, readCopied } from "./copy-files.ts";
import { type Engine, unlessMissing } from "./engine.ts";

/** What a volume is for: `valet-volume`. */
type Purpose = "sandbox" | "snapshot";
const PURPOSE = "valet-volume";
/** The label of a container that fills a volume, with the volume's name. */
const FILLS = "valet-fills";

/** The labels of a snapshot by which it is found. */
export const ofSandbox = (id: string): Readonly<Record<string, string>> => ({ "valet-of-sandbox": id });

/** Of what a copy is part. */
type CopyFailure = "snapshot_failed" | "start_failed";

/** A copy under way. */
interface Copy {
  readonly from: string;
  end(): void;
  /** Resolves when the engine has nothing left of it but the volume. */
  readonly ended: Promise<unknown>;
}

export class Volumes {
  readonly #engine: Engine;
  readonly #image: string;
  /** The labels of everything that belongs to this broker. */
  readonly #labels: Readonly<Record<string, string>>;
  readonly #copies = new Set<Copy>();

  constructor(engine: Engine, image: string, labels: Readonly<Record<string, string>>) {
    this.#engine = engine;
    this.#image = image;
    this.#labels = labels;
  }

  /** Creates an empty volume. @returns its name */
  async create(purpose: Purpose, labels: Readonly<Record<string, string>>): Promise<string> {
    const name = `valet-${purpose === "sandbox" ? "sb" : "sn"}-${randomUUID()}`;
    await this.#engine.createVolume({ Name: name, Labels: { ...labels, ...this.#labels, [PURPOSE]: purpose } });
    return name;
  }

  /** Returns whether there is a snapshot of this name. */
  async hasSnapshot(name: string): Promise<boolean> {
    if (!/^valet-sn-[\w-]+$/.test(name)) return false;
    const volume = await unlessMissing(this.#engine.getVolume(name).inspect());
    return volume !== undefined && this.#isOurs(volume.Labels) && volume.Labels?.[PURPOSE] === "snapshot";
  }

  /** Returns the names of a sandbox's snapshots. */
  async snapshotsOf(sandboxId: string): Promise<string[]> {
    const found = await this.#list({ ...ofSandbox(sandboxId), [PURPOSE]: "snapshot" });
    return found.map(({ Name }) => Name);
  }

  /** Removes a volume. Returns `false` if there was none. */
  async remove(name: string): Promise<boolean> {
    const removed = await unlessMissing(
      this.#engine
        .getVolume(name)
        .remove()
        .then(() => true),
    );
    return removed ?? false;
  }

  /**
   * Copies the files of a volume into an empty one.
   * @throws BrokerError `failure` if the copy is incomplete, `sandbox_gone` if it was ended, and the reason of `limit`
   */
  async copy(from: string, to: string, failure: CopyFailure, limit: AbortSignal): Promise<CopiedFiles> {
    const gone = new AbortController();
    const work = this.#copy(from, to, failure, AbortSignal.any([limit, gone.signal]));
    const copy = { from, end: () => gone.abort(new BrokerError("sandbox_gone")), ended: work.catch(() => {}) };
    this.#copies.add(copy);
    try {
      return await work;
    } finally {
      this.#copies.delete(copy);
    }
  }

  /** Ends the copies of a sandbox's volume that are under way, with `sandbox_gone`. */
  async endCopies(from: string): Promise<void> {
    const copies = [...this.#copies].filter((each) => each.from === from);
    for (const each of copies) each.end();
    await Promise.all(copies.map(({ ended }) => ended));
  }

  async #copy(from: string, to: string, failure: CopyFailure, limit: AbortSignal): Promise<CopiedFiles> {
    const labels = { ...this.#labels, [FILLS]: to };
    limit.throwIfAborted();
    const container = await this.#engine.createContainer(copyContainer({ image: this.#image, labels, from, to }));
    const stop = () => void container.kill().catch(() => {});
    limit.addEventListener("abort", stop, { once: true });
    try {
      await container.start();
      if (limit.aborted) stop();
      const { StatusCode: code } = await container.wait({ abortSignal: limit }).catch((error: unknown) => {
        limit.throwIfAborted();
        throw error;
      });
      limit.throwIfAborted();
      const copied = code === 0 ? readCopied(await container.logs({ stdout: true, stderr: false })) : undefined;
      if (copied === undefined) throw new BrokerError(failure, `the copy of the files failed (${code})`);
      return copied;
    } finally {
      limit.removeEventListener("abort", stop);
      await unlessMissing(container.remove({ force: true }));
    }
  }

  /** Removes what a broker left behind that died: unfinished copies with their containers, and volumes of no sandbox. */
  async removeOrphans(): Promise<void> {
    const label = [FILLS, ...this.#filter()];
    for (const { Id, Labels } of await this.#engine.listContainers({ all: true, filters: { label } })) {
      await unlessMissing(this.#engine.getContainer(Id).remove({ force: true }));
      const unfinished = Labels[FILLS];
      if (unfinished !== undefined) await this.#removeIfUnused(unfinished);
    }
    for (const { Name } of await this.#list({ [PURPOSE]: "sandbox" })) await this.#removeIfUnused(Name);
  }

  /** Removes all volumes that belong to this broker, snapshots included, but for those that a container uses. */
  async removeAll(): Promise<void> {
    for (const { Name } of await this.#list()) await this.#removeIfUnused(Name);
  }

  /** Lists the volumes that belong to this broker and have these labels. */
  async #list(labels: Readonly<Record<string, string>> = {}) {
    const { Volumes: all } = await this.#engine.listVolumes({ filters: { label: this.#filter() } });
    // Podman returns volumes that have any of several labels.
    return (all ?? []).filter(
      ({ Labels }) => this.#isOurs(Labels) && Object.entries(labels).every(([key, value]) => Labels?.[key] === value),
    );
  }

  /** The engine refuses to remove a volume that a container uses (409). */
  async #removeIfUnused(name: string): Promise<void> {
    await this.remove(name).catch(() => false);
  }

  #isOurs(labels: Readonly<Record<string, string>> | null | undefined): boolean {
    return Object.entries(this.#labels).every(([key, value]) => labels?.[key] === value);
  }

  #filter(): string[] {
    return Object.entries(this.#labels).map(([key, value]) => `${key}=${value}`);
  }
}

/** Returns the volume that a container has its files in. */
export function volumeOf(mounts: Awaited<ReturnType<Container["inspect"]>>["Mounts"]): string | undefined {
  return mounts.find(({ Name }) => Name?.startsWith("valet-sb-"))?.Name;
}
