/** Takes and restores snapshots: copies of a sandbox's files. A snapshot exists completely or not at all. */
import { existsSync, lstatSync } from "node:fs";
import { mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BrokerError } from "../problem.ts";
import type { Steps } from "../request-trace.ts";
import { type CommandOptions, runCommand } from "./command.ts";
import { copyFolders } from "./copy-tree.ts";
import { deleteFolder, KEPT_FOLDERS, newId, RUNNER_FOLDER, type StateDirectory, setAside } from "./state-directory.ts";

/** How many of the missing files `snapshot.json` names. */
const MAX_NAMED = 100;

export interface TakenSnapshot {
  readonly snapshotId: string;
  readonly sizeBytes: number;
  /**
   * How many files the snapshot lacks: sockets, devices, other users' files. `snapshot.json` names the first of them.
   */
  readonly leftOut: number;
}

export interface SnapshotOptions extends CommandOptions {
  readonly sessionId: string;
  /** Pauses the sandbox's processes, and resolves to a function that resumes them. */
  readonly pause: () => Promise<() => void>;
}

/** Takes a snapshot of a sandbox. The sandbox's processes are paused only while its files are copied. */
export async function takeSnapshot(
  state: StateDirectory,
  options: SnapshotOptions,
  steps: Steps,
): Promise<TakenSnapshot> {
  const snapshotId = newId(prefixOf(options.sandboxId));
  const path = state.snapshot(snapshotId);
  const partial = `${path}.partial`;
  await mkdir(partial, { mode: 0o700 });
  try {
    const { leftOut, sizeBytes } = await steps.run("valet.sandbox.pause", {}, async (within) => {
      const resume = await options.pause();
      try {
        return await within.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, async () => {
          const from = state.sandbox(options.sessionId);
          refuseReplaced(from);
          return copyFolders(from, partial, foldersOf(from), options);
        });
      } finally {
        resume();
      }
    });
    return await steps.run("valet.sandbox.commit", { "valet.snapshot.id": snapshotId }, async (_, span) => {
      span.setAttributes({ "valet.snapshot.size_bytes": sizeBytes, "valet.snapshot.left_out_count": leftOut.length });
      const manifest = {
        id: snapshotId,
        sessionId: options.sessionId,
        createdAt: new Date().toISOString(),
        sizeBytes,
        ...(leftOut.length > 0 && { leftOutCount: leftOut.length, leftOut: leftOut.slice(0, MAX_NAMED) }),
      };
      await writeFile(join(partial, "snapshot.json"), JSON.stringify(manifest), { mode: 0o600 });
      // The sandbox is often removed next, so the copy must be on disk and survive a power failure first.
      await runCommand("sync", ["--file-system", partial], options);
      await rename(partial, path);
      return { snapshotId, sizeBytes, leftOut: leftOut.length };
    });
  } catch (error) {
    await deleteFolder(partial, options.sandboxId);
    throw error;
  }
}

/**
 * Fills a sandbox's folder from a snapshot.
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
  await steps.run("valet.sandbox.copy", { "valet.snapshot.id": snapshotId }, async () => {
    await copyFolders(from, to, foldersOf(from), options);
  });
}

/** A snapshot's name begins with its sandbox's, by which it is found. */
const prefixOf = (sandboxId: string) => sandboxId.replace(/^sb/, "sn");

/** Returns the snapshots of a sandbox. */
export async function snapshotsOf(state: StateDirectory, sandboxId: string): Promise<string[]> {
  // Snapshots of earlier versions are named `sn-<16 hex digits>`, without a sandbox's id: the id `sb` must not find them.
  if (!/^sb-[0-9a-f]{16}$/.test(sandboxId)) return [];
  const prefix = `${prefixOf(sandboxId)}-`;
  const names = await readdir(state.snapshots);
  return names.filter((name) => name.startsWith(prefix) && /^[0-9a-f]{16}$/.test(name.slice(prefix.length)));
}

/** Deletes a snapshot; `false` when there is none. A restore that is copying from it fails. */
export async function deleteSnapshot(state: StateDirectory, snapshotId: string): Promise<boolean> {
  const aside = setAside(state.snapshot(snapshotId));
  if (aside === undefined) return false;
  await deleteFolder(aside, snapshotId);
  return true;
}

/**
 * Refuses a link in place of a kept folder: the copy would follow it to another user's files and omit the sandbox's
 * own.
 * @throws BrokerError `snapshot_failed`
 */
function refuseReplaced(sandbox: string): void {
  for (const folder of KEPT_FOLDERS) {
    if (!isFolder(join(sandbox, folder))) {
      throw new BrokerError("snapshot_failed", `the sandbox's ${folder} is no longer a folder`);
    }
  }
}

/** The runner's folder is copied only if it exists, and holds none of the agent's work. */
function foldersOf(path: string): string[] {
  return [...KEPT_FOLDERS, ...(isFolder(join(path, RUNNER_FOLDER)) ? [RUNNER_FOLDER] : [])];
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
