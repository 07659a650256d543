/**
 * The files of the `local` driver:
 *
 * - `sandboxes/<key of the session>/`: `sandbox.json`, `workspace/`, `home/`, `runner/`, `tmp/`, `log/`. A session has one sandbox at a
 *   time, and each next one the same path: what the agent remembers of a path, or wrote into a file, must still be right
 *   after a restore.
 * - `snapshots/<id>/`: `snapshot.json`, `workspace/`, `home/`, `runner/`
 * - what ends in `.gone` or `.partial` is on its way out or in; after a crash it is removed at the next start
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Generation, BrokerId as Id, SandboxState, SessionId, StopReason } from "@valet/shared/protocol/sandbox-broker";
import { z } from "zod";
import { runCommand } from "./command.ts";

/** What is kept of a sandbox on disk: enough to find its processes and to tell what became of it. No token, no environment. */
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
  /** The broker that runs it: one start of a process. */
  brokerId: z.string(),
  /** The entrypoint started last. */
  leader: z.object({ pid: z.int().positive(), startTime: z.string() }).optional(),
});
export type SandboxRecord = z.infer<typeof SandboxRecord>;

/** What a snapshot keeps of a sandbox: the agent's files and its own history. Logs and temporary files are not among it. */
export const KEPT_FOLDERS = ["workspace", "home"] as const;
/**
 * Made by the runner, where the agent does not work, for what its successor needs. A snapshot keeps it; sandboxes and snapshots
 * of earlier versions have none.
 */
export const RUNNER_FOLDER = "runner";
const OTHER_FOLDERS = ["tmp", "log"] as const;
const RECORD_FILE = "sandbox.json";
const SANDBOX_FOLDER = /^[0-9a-f]{20}$/;
const LEFT_OVER = /\.(?:gone|partial)$/;

export class StateDirectory {
  readonly sandboxes: string;
  readonly snapshots: string;

  constructor(path: string) {
    this.sandboxes = join(path, "sandboxes");
    this.snapshots = join(path, "snapshots");
  }

  make(): void {
    for (const path of [this.sandboxes, this.snapshots]) mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  sandbox(sessionId: string): string {
    return join(this.sandboxes, createHash("sha256").update(sessionId).digest("hex").slice(0, 20));
  }

  snapshot(id: string): string {
    return join(this.snapshots, id);
  }

  /**
   * Makes a sandbox's folders and its record, or nothing if that fails. The folders to keep are made only where no snapshot
   * brings them.
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

  /** Synchronous, so that nothing happens between a change and its record. */
  writeRecord(record: SandboxRecord): void {
    const path = join(this.sandbox(record.sessionId), RECORD_FILE);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** All sandboxes on record. Of a folder whose record cannot be read, `onUnreadable` is told. */
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

  /** What a crash left half done or half removed. */
  leftOvers(): string[] {
    return [this.sandboxes, this.snapshots].flatMap((parent) =>
      foldersIn(parent)
        .filter((name) => LEFT_OVER.test(name) || (SANDBOX_FOLDER.test(name) && isUnfinished(join(parent, name))))
        .map((name) => join(parent, name)),
    );
  }
}

/** A new id, of a form that needs no escaping anywhere. */
export function newId(prefix: "sb" | "sn"): string {
  return `${prefix}-${randomBytes(8).toString("hex")}`;
}

/** Takes a folder from its path at once, to be deleted from where it is then. `undefined`: there was none. */
export function setAside(path: string): string | undefined {
  const gone = `${path}.${randomBytes(4).toString("hex")}.gone`;
  try {
    renameSync(path, gone);
    return gone;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Deletes a folder that nothing refers to. */
export async function deleteFolder(path: string, sandboxId: string): Promise<void> {
  // rm(1) goes to any depth.
  const remove = () => runCommand("rm", ["-rf", "--", path], { sandboxId });
  try {
    await remove();
  } catch {
    // Folders that their owner may not write to, as Go's module cache has them, cannot be emptied.
    await runCommand("chmod", ["-R", "u+rwX", "--", path], { sandboxId }).catch(() => {});
    await remove();
  }
}

function foldersIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

/** One with files of an agent was finished: its record was removed, and they are not. */
function isUnfinished(path: string): boolean {
  const names = readdirSync(path);
  return ![RECORD_FILE, ...KEPT_FOLDERS].some((name) => names.includes(name));
}
