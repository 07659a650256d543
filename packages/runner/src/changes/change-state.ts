/**
 * Keeps, in the runner's folder, the last known state of the workspace, the attempts since then, and frames that the SessionAgent
 * has not acknowledged. A snapshot of the sandbox has them, too. Whatever cannot be read counts as absent.
 */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { turnChangesFields } from "@valet/shared/protocol/changes";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { z } from "zod";
import type { Snapshot } from "../git/snapshot.ts";

const objectId = z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
const State = z.object({
  latest: z.object({
    tree: objectId,
    objects: z
      .string()
      .regex(/^[\w-]{1,64}$/)
      .optional(),
    head: objectId.optional(),
    branch: z.string().max(255).optional(),
  }),
  /** Attempts that ran after that state was taken, and whose own changes it lacks. */
  since: z.array(z.string().max(128)).max(1000),
});

export interface KeptState {
  readonly latest: Snapshot;
  readonly since: readonly string[];
}

const Unsent = z.object({ type: z.literal("turn-changes"), ...turnChangesFields });
const STATE_FILE = "state.json";
const UNSENT_FOLDER = "unsent";
/** Frames that are kept; with more, the oldest are not sent. */
export const MAX_UNSENT = 20;
const MAX_FILE_BYTES = 1024 * 1024;

export class ChangeState {
  readonly folder: string;

  /** Prepares the folder. @throws errors of the file system */
  constructor(stateFolder: string) {
    this.folder = join(stateFolder, "changes");
    for (const folder of [this.folder, join(this.folder, UNSENT_FOLDER)]) {
      if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) rmSync(folder, { force: true });
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    }
  }

  /** Returns the last known state, and removes the objects of all others. */
  read(): KeptState | undefined {
    const { data } = State.safeParse(readJson(join(this.folder, STATE_FILE)));
    for (const name of readdirSync(this.folder)) {
      if (name === STATE_FILE || name === UNSENT_FOLDER || name === data?.latest.objects) continue;
      rmSync(join(this.folder, name), { recursive: true, force: true });
    }
    if (data === undefined) return undefined;
    const { tree, objects, head, branch } = data.latest;
    return { latest: { tree, objects, head, branch }, since: data.since };
  }

  /** @throws errors of the file system */
  write(state: KeptState): void {
    const path = join(this.folder, STATE_FILE);
    writeFileSync(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** Returns the frames that are not acknowledged, in the order in which they were kept. */
  readUnsent(): FromRunnerOf<"turn-changes">[] {
    const folder = join(this.folder, UNSENT_FOLDER);
    const files = readdirSync(folder).map((name) => join(folder, name));
    const known = files.flatMap((path) => {
      const { data } = Unsent.safeParse(readJson(path));
      if (data === undefined) rmSync(path, { recursive: true, force: true });
      return data === undefined ? [] : [{ data, mtimeMs: lstatSync(path).mtimeMs }];
    });
    return known.sort((a, b) => a.mtimeMs - b.mtimeMs).map(({ data }) => data);
  }

  /** @throws errors of the file system */
  keepUnsent(frame: FromRunnerOf<"turn-changes">): void {
    writeFileSync(this.#pathOf(frame.attemptId), JSON.stringify(frame), { mode: 0o600 });
  }

  forgetUnsent(attemptId: string): void {
    rmSync(this.#pathOf(attemptId), { force: true });
  }

  #pathOf(attemptId: string): string {
    const name = createHash("sha256").update(attemptId).digest("hex").slice(0, 32);
    return join(this.folder, UNSENT_FOLDER, `${name}.json`);
  }
}

function readJson(path: string): unknown {
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.size <= MAX_FILE_BYTES ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  } catch {
    return undefined;
  }
}
