/** Copies of what a sandbox keeps. A snapshot is there as a whole or not at all. */
import { existsSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BrokerError } from "../problem.ts";
import type { Steps } from "../request-trace.ts";
import { type CommandOptions, runCommand } from "./command.ts";
import { deleteFolder, KEPT_FOLDERS, newId, RUNNER_FOLDER, type StateDirectory, setAside } from "./state-directory.ts";

/** Copies everything as it is, links as links; shares the disk's blocks where the file system can. */
const COPY = ["--archive", "--reflink=auto", "--"] as const;

export interface TakenSnapshot {
  readonly snapshotId: string;
  readonly sizeBytes: number;
}

export interface SnapshotOptions extends CommandOptions {
  readonly sessionId: string;
  /** Halts the sandbox's processes and resolves to what lets them go on. */
  readonly pause: () => Promise<() => void>;
}

/** Takes a snapshot of a sandbox, whose processes stand still while its files are copied and no longer. */
export async function takeSnapshot(
  state: StateDirectory,
  options: SnapshotOptions,
  steps: Steps,
): Promise<TakenSnapshot> {
  const snapshotId = newId("sn");
  const path = state.snapshot(snapshotId);
  const partial = `${path}.partial`;
  await mkdir(partial, { mode: 0o700 });
  try {
    await steps.run("valet.sandbox.pause", {}, async (within) => {
      const resume = await options.pause();
      try {
        await within.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, () =>
          copy(state.sandbox(options.sessionId), partial, options),
        );
      } finally {
        resume();
      }
    });
    return await steps.run("valet.sandbox.commit", { "valet.snapshot.id": snapshotId }, async (_, span) => {
      // A socket is of no use to anyone once the process behind it is gone.
      await runCommand("find", [partial, "-type", "s", "-delete"], options);
      const sizeBytes = await measure(partial, options);
      span.setAttribute("valet.snapshot.size_bytes", sizeBytes);
      const manifest = { id: snapshotId, sessionId: options.sessionId, createdAt: new Date().toISOString(), sizeBytes };
      await writeFile(join(partial, "snapshot.json"), JSON.stringify(manifest), { mode: 0o600 });
      // The sandbox is often removed next: the copy must survive a power failure before it may take the sandbox's place.
      await runCommand("sync", ["--file-system", partial], options);
      await rename(partial, path);
      return { snapshotId, sizeBytes };
    });
  } catch (error) {
    await deleteFolder(partial, options.sandboxId);
    throw error;
  }
}

/**
 * Fills the folder of a sandbox from a snapshot.
 * @throws BrokerError `not_found`
 */
export async function restoreSnapshot(
  state: StateDirectory,
  snapshotId: string,
  to: string,
  options: CommandOptions,
  steps: Steps,
): Promise<void> {
  const from = state.snapshot(snapshotId);
  if (!existsSync(from)) throw new BrokerError("not_found", `no snapshot ${snapshotId}`);
  await steps.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, () => copy(from, to, options));
}

/** `false` when there is none. A restore that is copying from it fails. */
export async function deleteSnapshot(state: StateDirectory, snapshotId: string): Promise<boolean> {
  const gone = setAside(state.snapshot(snapshotId));
  if (gone === undefined) return false;
  await deleteFolder(gone, snapshotId);
  return true;
}

async function copy(from: string, to: string, options: CommandOptions): Promise<void> {
  const folders = KEPT_FOLDERS.map((folder) => join(from, folder));
  const runner = join(from, RUNNER_FOLDER);
  if (existsSync(runner)) folders.push(runner);
  await runCommand("cp", [...COPY, ...folders, to], options);
}

async function measure(path: string, options: CommandOptions): Promise<number> {
  const output = await runCommand("du", ["--summarize", "--bytes", path], options);
  return Number.parseInt(output, 10);
}
