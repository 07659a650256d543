/** Makes the container of a sandbox with its volume, and starts it. */
import type { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Container } from "dockerode";
import type { CreateOptions } from "../driver.ts";
import { BrokerError } from "../problem.ts";
import { supervisorCommand } from "../remote/supervisor.ts";
import { isSameAttempt, nameOf, sessionTag } from "../remote/tags.ts";
import type { Steps } from "../request-trace.ts";
import type { RestartPolicy } from "../restart.ts";
import { sandboxContainer } from "./container-spec.ts";
import { type Engine, hasImage, imageMissing, unlessMissing } from "./engine.ts";
import { ensureNetwork } from "./network.ts";
import type { Volumes } from "./volumes.ts";

export interface ContainerMakerOptions {
  readonly engine: Engine;
  readonly volumes: Volumes;
  readonly image: string;
  readonly scope: string;
  readonly network: string;
  /** Whether the network is the scope's own. */
  readonly isOwnNetwork: boolean;
  readonly limits: RunnerLimits;
  readonly entrypoint: readonly [string, ...string[]];
  readonly restart: RestartPolicy;
  /** Receives errors of work that nobody waits for. */
  readonly onError: (error: unknown) => void;
}

export class ContainerMaker {
  readonly #options: ContainerMakerOptions;

  constructor(options: ContainerMakerOptions) {
    this.#options = options;
  }

  /** Returns the name of a sandbox's container, which an engine gives once. */
  nameOf(options: CreateOptions): string {
    return `${nameOf(options)}-${this.#options.scope}`;
  }

  /** Returns `undefined` when another call has already created a container of this name. */
  async make(
    options: CreateOptions,
    labels: Record<string, string>,
    steps: Steps,
    limit: AbortSignal,
  ): Promise<Container | undefined> {
    const { engine, volumes, image, network, isOwnNetwork, limits, entrypoint, restart, onError } = this.#options;
    const { snapshotId } = options;
    if (snapshotId !== undefined && !(await volumes.hasSnapshot(snapshotId))) {
      throw new BrokerError("not_found", `no snapshot ${snapshotId}`);
    }
    const volume = await volumes.create("sandbox", sessionTag(options.sessionId));
    const name = this.nameOf(options);
    try {
      if (snapshotId !== undefined) {
        await steps.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, () =>
          volumes.copy(snapshotId, volume, "start_failed", limit),
        );
      }
      limit.throwIfAborted();
      // What prunes the engine removes a network that no sandbox uses.
      if (isOwnNetwork) await ensureNetwork(engine, network);
      return await engine.createContainer(
        sandboxContainer({
          name,
          image,
          labels,
          volume,
          network,
          limits,
          command: supervisorCommand(entrypoint, restart, true),
          env: options.env,
          isRestored: snapshotId !== undefined,
        }),
      );
    } catch (error) {
      const holder = await unlessMissing(engine.getContainer(name).inspect()).catch(() => undefined);
      // The answer to the very call that created it may have been lost.
      if (holder !== undefined && isSameAttempt(holder.Config.Labels, labels)) return engine.getContainer(holder.Id);
      await volumes.remove(volume).catch(onError);
      if (holder !== undefined) return undefined;
      if (!(await hasImage(engine, image).catch(() => true))) {
        throw new BrokerError("start_failed", imageMissing(image), { cause: error });
      }
      throw error;
    }
  }
}

/** Starts a container, and gives its command the only input that it ever gets. */
export async function start(container: Container, input: string): Promise<void> {
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
