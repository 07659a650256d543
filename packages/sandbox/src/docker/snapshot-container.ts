/** Takes a snapshot of a sandbox: a copy of its volume, made inside the engine while the sandbox is paused. */
import type { SnapshotResult } from "../driver.ts";
import { BrokerError } from "../problem.ts";
import { sessionTag } from "../remote/tags.ts";
import type { Steps } from "../request-trace.ts";
import type { SandboxContainers } from "./sandbox-containers.ts";
import { ofSandbox, type Volumes, volumeOf } from "./volumes.ts";

export interface SnapshotContainerOptions {
  readonly containers: SandboxContainers;
  readonly volumes: Volumes;
  readonly id: string;
  readonly steps: Steps;
  readonly limit: AbortSignal;
  /** Receives errors of work that nobody waits for. */
  readonly onError: (error: unknown) => void;
}

/** Leaves nothing behind on an error. @throws BrokerError `sandbox_gone` if it ends meanwhile */
export async function snapshotContainer(options: SnapshotContainerOptions): Promise<SnapshotResult> {
  const { containers, volumes, id, steps, limit, onError } = options;
  const { container, info, described } = await containers.mustBeThere(id);
  const volume = volumeOf(info.Mounts);
  if (volume === undefined) throw new BrokerError("sandbox_gone");
  const { sessionId, state } = described.sandbox;
  const snapshotId = await volumes.create("snapshot", { ...sessionTag(sessionId), ...ofSandbox(id) });
  try {
    const { sizeBytes, leftOut } = await steps.run("valet.sandbox.pause", {}, async (within) => {
      const isRunning = state === "running";
      if (isRunning) await container.pause();
      try {
        return await within.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, () =>
          volumes.copy(volume, snapshotId, "snapshot_failed", limit),
        );
      } finally {
        // It may have been terminated meanwhile.
        if (isRunning) await container.unpause().catch(() => {});
      }
    });
    return await steps.run("valet.sandbox.commit", { "valet.snapshot.id": snapshotId }, async (_, span) => {
      span.setAttributes({ "valet.snapshot.size_bytes": sizeBytes, "valet.snapshot.left_out_count": leftOut });
      if (!(await volumes.hasSnapshot(snapshotId))) throw new BrokerError("snapshot_failed");
      // Of a sandbox that ended meanwhile the engine may have copied nothing.
      await containers.mustBeThere(id);
      return { snapshotId, sizeBytes, leftOut };
    });
  } catch (error) {
    await volumes.remove(snapshotId).catch(onError);
    if (!limit.aborted) await containers.mustBeThere(id);
    throw error;
  }
}
