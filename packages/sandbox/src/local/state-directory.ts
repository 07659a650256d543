/**
 * The files of the `local` driver:
 *
 * - `sandboxes/<key of the session>/`: `sandbox.json`, `workspace/`, `home/`, `runner/`, `tmp/`, `log/`. A session has
 *   one sandbox at a time, and its sandboxes all have the same path: paths that the agent remembers or wrote into files
 *   must stay valid after a restore.
 * - `snapshots/<id>/`: `snapshot.json`, `workspace/`, `home/`, `runner/`
 * - names that end in `.gone` or `.partial` are being deleted or created; after a crash the next start deletes them
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Generation, BrokerId as Id, SandboxState, SessionId, StopReason } from "@valet/shared/protocol/sandbox-broker";
import { z } from "zod";
import { runCommand } from "./command.ts";
import { makeFolders } from "./make-folders.ts";

/**
 * A sandbox's record on disk: enough to find its processes and to report its state. Holds no token and no environment.
 */
export const SandboxRecord = z.object({
  id: Id,
  sessionId: SessionId,
  generation: Generation,
  state: SandboxState,
  stopReason: StopReason.optional(),
  lastLogLine: z.string().optional(),
  createdAt: z.iso.datetime(),
  snapshotId: Id.optional(),
  restartCount: z.int().nonnegative(),
  fingerprint: z.string(),
  /** The broker process that runs the sandbox. */
  brokerId: z.string(),
  /** The last started entrypoint. */
  leader: z.object({ pid: z.int().positive(), startTime: z.string() }).optional(),
});
export type SandboxRecord = z.infer<typeof SandboxRecord>;

/**
 * The folders that a snapshot keeps: the agent's files and OpenCode's history. Logs and temporary files are left out.
 */
export const KEPT_FOLDERS = ["workspace", "home"] as const;
/**
 * The runner's folder, outside the agent's work, for what the next runner needs. Snapshots keep it; sandboxes and
 * snapshots of earlier versions lack it.
 */
export const RUNNER_FOLDER = "runner";
/** The folder for the sockets between the runner and the sandbox's own network. */
export const NETWORK_FOLDER = "network";
const OTHER_FOLDERS = ["tmp", "log", NETWORK_FOLDER] as const;
const RECORD_FILE = "sandbox.json";
const SANDBOX_FOLDER = /^[0-9a-f]{20}$/;
const UNFINISHED = /\.(?:gone|partial)$/;

export class StateDirectory {
  readonly sandboxes: string;
  readonly snapshots: string;
  /** Which folder the sandboxes are in, whatever has its path later. */
  #sandboxesId: string | undefined;
  #isAway = false;
  readonly #onAway: (() => void) | undefined;

  /** @param onAway called once each time the folder of all sandboxes goes missing */
  constructor(path: string, onAway?: () => void) {
    this.#onAway = onAway;
    this.sandboxes = join(path, "sandboxes");
    this.snapshots = join(path, "snapshots");
  }

  make(): void {
    for (const path of [this.sandboxes, this.snapshots]) makeFolders(path, 0o700);
    this.#sandboxesId = folderId(this.sandboxes);
  }

  /**
   * Returns whether the folder of all sandboxes is where it was made: a disk may be away for a while, or somebody may have moved it.
   * Another folder in its place does not count, even one with the same files: it may be what is under a mount point.
   */
  checkSandboxes(): boolean {
    const isThere = this.#sandboxesId !== undefined && folderId(this.sandboxes) === this.#sandboxesId;
    if (!isThere && !this.#isAway) this.#onAway?.();
    this.#isAway = !isThere;
    return isThere;
  }

  sandbox(sessionId: string): string {
    return join(this.sandboxes, createHash("sha256").update(sessionId).digest("hex").slice(0, 20));
  }

  snapshot(id: string): string {
    return join(this.snapshots, id);
  }

  /**
   * Creates a sandbox's folders and its record; creates nothing on an error. A restore brings the kept folders itself.
   */
  makeSandbox(record: SandboxRecord): void {
    const path = this.sandbox(record.sessionId);
    mkdirSync(path, { mode: 0o700 });
    try {
      this.writeRecord(record);
      for (const folder of OTHER_FOLDERS) mkdirSync(join(path, folder));
      if (record.snapshotId === undefined) for (const folder of KEPT_FOLDERS) mkdirSync(join(path, folder));
    } catch (error) {
      rmSync(path, { recursive: true, force: true });
      throw error;
    }
  }

  /** Synchronous, so that nothing can happen between a change and its record. */
  writeRecord(record: SandboxRecord): void {
    const path = join(this.sandbox(record.sessionId), RECORD_FILE);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Returns all recorded sandboxes. Calls `onUnreadable` for a folder whose record cannot be read. */
  readRecords(onUnreadable: (folder: string) => void = () => {}): SandboxRecord[] {
    const folders = foldersIn(this.sandboxes).filter((name) => SANDBOX_FOLDER.test(name));
    return folders.flatMap((name) => {
      const folder = join(this.sandboxes, name);
      try {
        return SandboxRecord.parse(JSON.parse(readFileSync(join(folder, RECORD_FILE), "utf8")));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT" || !isUnfinished(folder)) onUnreadable(folder);
        return [];
      }
    });
  }

  /** Returns folders that a crash left partly created or partly deleted. */
  unfinishedFolders(): string[] {
    return [this.sandboxes, this.snapshots].flatMap((parent) =>
      foldersIn(parent)
        .filter((name) => UNFINISHED.test(name) || (SANDBOX_FOLDER.test(name) && isUnfinished(join(parent, name))))
        .map((name) => join(parent, name)),
    );
  }
}

/** Returns a new id of a form that never needs escaping. */
export function newId(prefix: string): string {
  return `${prefix}-${randomBytes(8).toString("hex")}`;
}

/** Moves a folder aside atomically, to be deleted from its new path. Returns `undefined` when there was none. */
export function setAside(path: string): string | undefined {
  const aside = `${path}.${randomBytes(4).toString("hex")}.gone`;
  try {
    renameSync(path, aside);
    return aside;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Deletes a folder that nothing refers to any more. */
export async function deleteFolder(path: string, sandboxId: string): Promise<void> {
  // rm(1) works at any depth.
  const remove = () => runCommand("rm", ["-rf", "--", path], { sandboxId });
  try {
    await remove();
  } catch {
    // Folders without write permission, as in Go's module cache, cannot be emptied.
    await runCommand("chmod", ["-R", "u+rwX", "--", path], { sandboxId }).catch(() => {});
    await remove();
  }
}

function foldersIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

/** A folder that holds an agent's files was once complete: its record was removed, and the files are to be kept. */
function isUnfinished(path: string): boolean {
  const names = readdirSync(path);
  return ![RECORD_FILE, ...KEPT_FOLDERS].some((name) => names.includes(name));
}

/** Returns `undefined` without a folder, and for one whose disk answers with an error. */
function folderId(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
