/**
 * Sandboxes at Modal: each is a container, made from an image or from a snapshot. Modal stores everything that a broker
 * must know about them as tags, and a supervisor in the sandbox restarts the entrypoint, so brokers may come and go.
 */
import { randomUUID } from "node:crypto";
import { LIMITS } from "@valet/shared/limits";
import type { App, Image, Sandbox as ModalSandbox } from "modal";
import { AlreadyExistsError, ModalClient, NotFoundError } from "modal";
import type { CreateOptions, Driver, DriverSandbox, SnapshotResult } from "../driver.ts";
import { BrokerError } from "../problem.ts";
import { supervisorCommand, supervisorInput } from "../remote/supervisor.ts";
import { isSameAttempt, nameOf, readTags, sessionTag, tagsOf } from "../remote/tags.ts";
import type { Steps } from "../request-trace.ts";
import { RESTART, type RestartPolicy } from "../restart.ts";

export interface ModalDriverOptions {
  readonly tokenId: string;
  readonly tokenSecret: string;
  /** The Modal app of the sandboxes; created if missing. Brokers with the same app share its sandboxes. */
  readonly app: string;
  /** The image of the sandboxes: the id of a built image (`im-…`), or a tag in a public registry. */
  readonly image: string;
  /** The program to start in each sandbox, with its arguments. */
  readonly entrypoint: readonly [string, ...string[]];
  readonly restart?: Partial<RestartPolicy> | undefined;
  /** Receives errors of background work. */
  readonly onError: (error: Error) => void;
}

/** Modal's maximum. */
const LIFETIME_MS = 24 * 3600 * 1000;
/** The image's folder for the agent's work, owned by the entrypoint's user. */
const WORKSPACE = "/workspace";
/** The image's folder for what a runner keeps for its successor. */
const RUNNER_STATE = "/var/lib/valet-runner";
/**
 * The entrypoint's working directory. It is not the workspace, since runtimes read configuration from their working
 * directory, and the workspace's is the repository's.
 */
const WORKING_FOLDER = "/";

/**
 * Starts the driver, and ends the sandboxes that earlier brokers did not finish replacing: of a session with several
 * sandboxes, all but the newest generation's.
 * @throws when Modal cannot be reached, refuses the credentials, or does not have the image
 */
export async function startModalDriver(options: ModalDriverOptions): Promise<Driver> {
  const { tokenId, tokenSecret } = options;
  const modal = new ModalClient({ tokenId, tokenSecret });
  try {
    const app = await modal.apps.fromName(options.app, { createIfMissing: true });
    const image = /^im-/.test(options.image)
      ? await modal.images.fromId(options.image)
      : await modal.images.fromRegistry(options.image).build(app);
    const driver = new ModalDriver(options, modal, app, image.imageId);
    await driver.endStale();
    return driver;
  } catch (error) {
    modal.close();
    throw new Error(`Modal cannot be used: ${describeError(error)}`, { cause: error });
  }
}

class ModalDriver implements Driver {
  readonly name = "modal";
  readonly #options: ModalDriverOptions;
  readonly #modal: ModalClient;
  readonly #app: App;
  readonly #imageId: string;
  /** Sandboxes that this broker is starting or terminating. Of all others the broker only knows that they run. */
  readonly #underWay = new Map<string, "starting" | "terminating">();
  /** The snapshots that this broker has taken, by sandbox, since Modal cannot list them. Removed once they have been read. */
  readonly #taken = new Map<string, string[]>();
  readonly #calls = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor(options: ModalDriverOptions, modal: ModalClient, app: App, imageId: string) {
    this.#options = options;
    this.#modal = modal;
    this.#app = app;
    this.#imageId = imageId;
  }

  create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    return this.#call("start_failed", () => this.#create(options, steps, limit));
  }

  get(id: string): Promise<DriverSandbox | undefined> {
    return this.#call("internal", () => this.#describe(id));
  }

  list(sessionId: string): Promise<DriverSandbox[]> {
    return this.#call("internal", () => this.#list(sessionTag(sessionId)));
  }

  snapshot(id: string, steps: Steps, limit: AbortSignal): Promise<SnapshotResult> {
    return this.#call("snapshot_failed", async () => {
      await this.#mustBeThere(id);
      return steps.run("valet.sandbox.commit", {}, async (_, span) => {
        try {
          // Without an expiry: the session's object deletes its snapshots itself, and must not lose one that it still
          // needs.
          const image = await this.#using(id, (sandbox) =>
            unlessAborted(limit, sandbox.snapshotFilesystem({ ttlMs: null })),
          );
          span.setAttributes({ "valet.snapshot.id": image.imageId });
          this.#taken.set(id, [...(this.#taken.get(id) ?? []), image.imageId]);
          return { snapshotId: image.imageId };
        } catch (error) {
          if (!limit.aborted) await this.#mustBeThere(id);
          throw error;
        }
      });
    });
  }

  terminate(id: string, steps: Steps): Promise<boolean> {
    return this.#call("terminate_failed", async () => {
      if ((await this.#describe(id)) === undefined) return false;
      await steps.run("valet.sandbox.process_stop", {}, () => this.#end(id));
      return true;
    });
  }

  async snapshotsOf(id: string): Promise<string[]> {
    const taken = this.#taken.get(id) ?? [];
    this.#taken.delete(id);
    return taken;
  }

  deleteSnapshot(id: string, steps: Steps): Promise<boolean> {
    return this.#call("internal", async () => {
      // A snapshot is an image, so its id must be that of an image, but not of the base image.
      if (!/^im-/.test(id) || id === this.#imageId) return false;
      return steps.run("valet.sandbox.remove", { "valet.snapshot.id": id }, async () => {
        try {
          await this.#modal.images.delete(id);
          return true;
        } catch (error) {
          if (error instanceof NotFoundError) return false;
          throw error;
        }
      });
    });
  }

  /** The sandboxes keep running; the next broker finds them by their tags. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#calls);
    this.#modal.close();
  }

  async endStale(): Promise<void> {
    const newest = new Map<string, number>();
    const all = await this.#list({});
    for (const { sandbox } of all) {
      newest.set(sandbox.sessionId, Math.max(sandbox.generation, newest.get(sandbox.sessionId) ?? 0));
    }
    const stale = all.filter(({ sandbox }) => sandbox.generation !== newest.get(sandbox.sessionId));
    const results = await Promise.allSettled(stale.map(({ sandbox }) => this.#end(sandbox.id)));
    for (const result of results) if (result.status === "rejected") this.#options.onError(result.reason);
  }

  async #create(options: CreateOptions, steps: Steps, limit: AbortSignal): Promise<DriverSandbox> {
    const tags = tagsOf(options, Date.now(), randomUUID());
    const image = await this.#image(options.snapshotId);
    const created = await steps.run("valet.sandbox.prepare", {}, () => this.#make(options, image, tags));
    if (created === undefined) return this.#existing(options);
    const id = created.sandboxId;
    this.#underWay.set(id, "starting");
    steps.describe({ "valet.sandbox.id": id });
    try {
      await steps.run("valet.sandbox.process_start", {}, async () => {
        const input = created.stdin.getWriter();
        await input.write(supervisorInput(id, options.runnerToken));
        await input.close();
      });
      if (this.#underWay.get(id) === "terminating") throw new BrokerError("sandbox_gone");
      if (this.#isClosed) throw new BrokerError("shutting_down");
      limit.throwIfAborted();
    } catch (error) {
      await this.#end(id);
      throw error;
    } finally {
      if (this.#underWay.get(id) === "starting") this.#underWay.delete(id);
      created.detach();
    }
    return readTags(tags, { id, driver: "modal", isolation: "none", state: "running" }) as DriverSandbox;
  }

  /** Returns `undefined` when another call has already created a sandbox of this name. */
  async #make(options: CreateOptions, image: Image, tags: Record<string, string>): Promise<ModalSandbox | undefined> {
    const name = nameOf(options);
    try {
      return await this.#modal.sandboxes.create(this.#app, image, {
        name,
        tags,
        timeoutMs: LIFETIME_MS,
        workdir: WORKING_FOLDER,
        env: {
          LANG: "C.UTF-8",
          ...options.env,
          VALET_WORKSPACE: WORKSPACE,
          VALET_RUNNER_STATE: RUNNER_STATE,
          VALET_RESTORED: options.snapshotId === undefined ? "0" : "1",
        },
        command: supervisorCommand(this.#options.entrypoint, { ...RESTART, ...this.#options.restart }, false),
      });
    } catch (error) {
      // The library retries when an answer was lost, so the sandbox of this name may come from this very call.
      const holder = await this.#modal.sandboxes.fromName(this.#options.app, name).catch(() => undefined);
      if (holder !== undefined && isSameAttempt(await holder.getTags(), tags)) return holder;
      if (error instanceof AlreadyExistsError) return undefined;
      throw error;
    }
  }

  async #image(snapshotId: string | undefined) {
    try {
      return await this.#modal.images.fromId(snapshotId ?? this.#imageId);
    } catch (error) {
      if (error instanceof NotFoundError && snapshotId !== undefined) {
        throw new BrokerError("not_found", `no snapshot ${snapshotId}`);
      }
      throw error;
    }
  }

  /** Returns the sandbox that another broker created for the same generation. */
  async #existing(options: CreateOptions): Promise<DriverSandbox> {
    const { sandboxId } = await this.#modal.sandboxes.fromName(this.#options.app, nameOf(options));
    const existing = await this.#mustBeThere(sandboxId);
    if (existing.fingerprint !== options.fingerprint) throw new BrokerError("generation_conflict");
    return existing;
  }

  async #list(tags: Record<string, string>): Promise<DriverSandbox[]> {
    const ids = new Set<string>();
    for await (const { sandboxId } of this.#modal.sandboxes.list({ appId: this.#app.appId, tags })) ids.add(sandboxId);
    const found = await Promise.all([...ids].map((id) => this.#describe(id)));
    return found.filter((each) => each !== undefined);
  }

  async #mustBeThere(id: string): Promise<DriverSandbox> {
    const found = await this.#describe(id);
    if (found === undefined || found.sandbox.state === "terminating") throw new BrokerError("sandbox_gone");
    return found;
  }

  /** Returns `undefined` when the sandbox has ended, or is not one of Valet's. */
  async #describe(id: string): Promise<DriverSandbox | undefined> {
    if (!/^sb-/.test(id)) return undefined;
    try {
      return await this.#using(id, async (sandbox) => {
        const [tags, exitCode] = await Promise.all([sandbox.getTags(), sandbox.poll()]);
        if (exitCode !== null) return undefined;
        return readTags(tags, { id, driver: "modal", isolation: "none", state: this.#underWay.get(id) ?? "running" });
      });
    } catch (error) {
      if (statusOf(error) === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** Resolves when the sandbox has ended and its name is free. */
  async #end(id: string): Promise<void> {
    this.#underWay.set(id, "terminating");
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new BrokerError("terminate_failed", "Modal did not end the sandbox in time")),
      LIMITS.remoteKillMs,
    );
    try {
      await Promise.race([this.#using(id, (sandbox) => sandbox.terminate({ wait: true })), late.promise]);
    } catch (error) {
      if (statusOf(error) !== "NOT_FOUND") throw error;
    } finally {
      clearTimeout(timer);
      this.#underWay.delete(id);
    }
  }

  /** Calls `work` with a sandbox, and closes the connection to it afterwards. */
  async #using<T>(id: string, work: (sandbox: ModalSandbox) => Promise<T>): Promise<T> {
    const sandbox = await this.#modal.sandboxes.fromId(id);
    try {
      return await work(sandbox);
    } finally {
      sandbox.detach();
    }
  }

  /** Runs a call that {@link close} waits for. Replaces the text of unexpected errors, which may quote content. */
  async #call<T>(code: "start_failed" | "snapshot_failed" | "terminate_failed" | "internal", work: () => Promise<T>) {
    if (this.#isClosed) throw new BrokerError("shutting_down");
    const call = work().catch((error: unknown) => {
      if (error instanceof BrokerError) throw error;
      throw new BrokerError(code, describeError(error), { cause: error });
    });
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }
}

/** Waits for work that cannot be cancelled, but at most until the signal. @throws the signal's reason */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(signal.reason);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

/** Returns the gRPC status of an error, such as `NOT_FOUND`; the message begins with the method and the status. */
function statusOf(error: unknown): string | undefined {
  return error instanceof Error ? /^\/\S+ ([A-Z_]+):/.exec(error.message)?.[1] : undefined;
}

function describeError(error: unknown): string {
  const status = statusOf(error);
  if (status !== undefined) return `Modal answered ${status}`;
  return error instanceof Error ? error.constructor.name : "unknown error";
}
