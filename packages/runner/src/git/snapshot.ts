/**
 * Takes the state of the workspace as a git tree, without touching the workspace's `.git`: git runs with a folder, an index and
 * objects of the runner's own, and reads the repository's objects and nothing of its configuration. So no hook, filter or other
 * program that a repository names can run. Files of which only the name counts are in the tree as repositories of their own
 * (mode 160000), which need no object; their id stands for size and time.
 */
import { mkdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CHANGES_LIMITS, type ChangesUnknown } from "@valet/shared/protocol/changes";
import { copyFile } from "../files/copy-file.ts";
import type { FolderPlace } from "../files/open-folder.ts";
import { isOwnRepository } from "./files.ts";
import { type GitBytes, gitBytes } from "./git-command.ts";
import { parseDiffFiles, splitNul } from "./parse-changes.ts";
import { readUnread, sortFiles, type UnreadFiles, writeUnread } from "./workspace-files.ts";

/** The state of the workspace at one time. */
export interface Snapshot {
  /** The id of a tree, or of a commit. */
  readonly tree: string;
  /** The name of the folder with the objects that the repository lacks; `undefined` if it lacks none. */
  readonly objects: string | undefined;
  /** The commit of HEAD; `undefined` if there is none yet. */
  readonly head: string | undefined;
  /** `undefined` if HEAD is detached, or names no branch. */
  readonly branch: string | undefined;
  /** Whether more files changed since the snapshot before than the limits of one turn allow, so that many are unread. */
  readonly isTooLarge?: boolean;
}

/** What HEAD is. */
export type Head = Pick<Snapshot, "head" | "branch"> & { readonly format: ObjectFormat };
type ObjectFormat = "sha1" | "sha256";

/** The changes cannot be found out. */
export class ChangesError extends Error {
  override readonly name = "ChangesError";
  readonly reason: ChangesUnknown;

  constructor(reason: ChangesUnknown) {
    super(reason);
    this.reason = reason;
  }
}

export interface SnapshotOptions {
  readonly workspace: string;
  /** A folder of the runner for this purpose alone. */
  readonly folder: string;
  /** The environment, from which git receives only the variables that it needs. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What stands before git on its command line, so that it sees only the agent's files and `folder`; nothing if omitted. */
  readonly enclosure?: readonly string[] | undefined;
}

/** Trees without files, which git knows without an object. */
const EMPTY_TREES: Record<ObjectFormat, string> = {
  sha1: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
  sha256: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
};
const MAX_INDEX_BYTES = 256 * 1024 * 1024;
const MAX_EXCLUDE_BYTES = 1024 * 1024;
/** The output of git that is read: names of files, or a few ids. */
const MAX_LIST_BYTES = 16 * 1024 * 1024;

/** Returns the state of a clean checkout of a commit, or of a repository without one. */
export function snapshotOfCommit(revision: string | undefined): Snapshot {
  return { tree: revision ?? EMPTY_TREES.sha1, objects: undefined, head: revision, branch: undefined };
}

export class Snapshots {
  readonly #options: SnapshotOptions;
  #count = 0;

  constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  get isRepository(): boolean {
    return isOwnRepository(this.#options.workspace);
  }

  /**
   * Reads the present state of the workspace.
   * @param before the snapshot with which it will be compared, whose objects still exist
   * @throws ChangesError, or the signal's reason
   */
  async take(signal: AbortSignal, before?: Snapshot): Promise<Snapshot> {
    const { format, ...head } = await this.#head(signal);
    const name = `${process.pid}-${Date.now()}-${this.#count++}`;
    const own = this.own(name);
    try {
      await this.#makeFolder(name, format);
      await this.#copyIndex(own);
      const unread = before?.objects === undefined ? new Map() : await readUnread(this.own(before.objects));
      const state = await this.#writeTree(own, format, unread, signal).catch(async (error: unknown) => {
        // The repository's index may be damaged, or one that git splits into several files.
        if (!(error instanceof ChangesError) || error.reason !== "git_failed" || head.head === undefined) throw error;
        await rm(join(own, "index"), { force: true });
        await this.#run(["read-tree", head.head], own, signal);
        return this.#writeTree(own, format, unread, signal);
      });
      return { ...head, ...state, objects: name };
    } catch (error) {
      await this.drop(name);
      throw error;
    } finally {
      await rm(join(own, "index"), { force: true });
    }
  }

  /** Removes a snapshot's objects. Never rejects. */
  async drop(name: string | undefined): Promise<void> {
    if (name !== undefined) await rm(this.own(name), { recursive: true, force: true }).catch(() => {});
  }

  /** Returns the folder of a snapshot's objects. */
  own(name: string): string {
    return join(this.#options.folder, name);
  }

  /** Runs git on the objects of snapshots. @throws ChangesError, or the signal's reason */
  async read(args: readonly string[], snapshots: readonly Snapshot[], maxBytes: number, signal: AbortSignal) {
    const names = snapshots.flatMap(({ objects }) => objects ?? []);
    const format: ObjectFormat = snapshots.some(({ tree }) => tree.length > 40) ? "sha256" : "sha1";
    const scratch = names.at(-1) ?? `read-${process.pid}-${this.#count++}`;
    if (names.length === 0) await this.#makeFolder(scratch, format);
    try {
      return await this.#git(args, this.own(scratch), signal, { maxBytes, also: names });
    } finally {
      if (names.length === 0) await this.drop(scratch);
    }
  }

  /** Lists commits in the repository itself, whose grafts and shallow boundaries count. */
  async log(args: readonly string[], signal: AbortSignal): Promise<Buffer | undefined> {
    const { exitCode, stdout } = await this.#inRepository(["rev-list", ...args], signal);
    return exitCode === 0 ? stdout : undefined;
  }

  /** Lists the files that each of these commits of the repository changed, of a merge none; `undefined` if the list is too long. */
  async filesOf(commits: readonly string[], signal: AbortSignal): Promise<Buffer | undefined> {
    const args = ["diff-tree", "--stdin", "-r", "--root", "--no-renames", "--name-status", "-z", "--no-ext-diff"];
    const { exitCode, isCut, stdout } = await this.#inRepository(args, signal, Buffer.from(`${commits.join("\n")}\n`));
    return exitCode === 0 && !isCut ? stdout : undefined;
  }

  /** Starting a git takes longer than its work here, so one answers all three questions. Where HEAD has no commit, it does not. */
  async #head(signal: AbortSignal): Promise<Head> {
    if (!this.isRepository) throw new ChangesError("not_a_repository");
    const all = ["--show-object-format", "HEAD^{commit}", "--symbolic-full-name", "HEAD"];
    const { exitCode, stdout } = await this.#inRepository(["rev-parse", ...all], signal);
    const [, format, head, ref] = /^(sha1|sha256)\n([0-9a-f]{40,64})\n(.+)\n$/.exec(stdout.toString("utf8")) ?? [];
    // Also where a branch or a file is called HEAD.
    if (exitCode !== 0 || ref === undefined) return this.#headStepwise(signal);
    return headOf(format, head, ref);
  }

  async #headStepwise(signal: AbortSignal): Promise<Head> {
    const [format, head, branch] = await Promise.all([
      this.#inRepository(["rev-parse", "--show-object-format"], signal),
      this.#inRepository(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], signal),
      this.#inRepository(["symbolic-ref", "--quiet", "HEAD"], signal),
    ]);
    if (format.exitCode !== 0) throw new ChangesError(this.isRepository ? "git_failed" : "not_a_repository");
    const line = ({ stdout, exitCode }: GitBytes) => (exitCode === 0 ? stdout.toString("utf8").trim() : undefined);
    return headOf(line(format), line(head), line(branch));
  }

  #inRepository(args: readonly string[], signal: AbortSignal, input?: Uint8Array): Promise<GitBytes> {
    const { workspace, env, enclosure } = this.#options;
    return gitBytes(args, {
      cwd: workspace,
      gitDir: join(workspace, ".git"),
      env,
      enclosure,
      signal,
      maxBytes: MAX_LIST_BYTES,
      variables: { GIT_OPTIONAL_LOCKS: "0" },
      ...(input && { input }),
    });
  }

  /** Creates a git folder with a configuration of the runner's, whatever the repository's is. */
  async #makeFolder(name: string, format: ObjectFormat): Promise<void> {
    const own = this.own(name);
    await mkdir(join(own, "objects"), { recursive: true, mode: 0o700 });
    await mkdir(join(own, "refs"));
    await mkdir(join(own, "info"));
    const config = [
      "[core]",
      `repositoryformatversion = ${format === "sha256" ? 1 : 0}`,
      "bare = false",
      // A restored sandbox has copies of the files, whose change times and inodes are new.
      "trustctime = false",
      "checkStat = minimal",
      // Larger files count as binary.
      `bigFileThreshold = ${CHANGES_LIMITS.fileBytes}`,
      "compression = 1",
      ...(format === "sha256" ? ["[extensions]", "objectFormat = sha256"] : []),
    ];
    await writeFile(join(own, "config"), `${config.join("\n")}\n`);
    await writeFile(join(own, "HEAD"), "ref: refs/heads/none\n");
    // No filter of the repository runs. Git's own conversions, such as that of line ends, are those of its commits.
    await writeFile(join(own, "info/attributes"), "* -filter\n");
    const exclude = join(own, "info/exclude");
    await copyFile(this.#gitFolder("info"), "exclude", exclude, MAX_EXCLUDE_BYTES).catch(() =>
      rm(exclude, { force: true }),
    );
  }

  /** Copies the repository's index: it knows which files are tracked, and which have not changed since they were hashed. */
  async #copyIndex(own: string): Promise<void> {
    const index = join(own, "index");
    const stats = await copyFile(this.#gitFolder(), "index", index, MAX_INDEX_BYTES).catch((error: unknown) => {
      throw (error as NodeJS.ErrnoException).code === "EFBIG" ? new ChangesError("too_large") : error;
    });
    if (stats === undefined) return;
    // Files that are not clearly older than the index are compared by content, so the copy must not be younger than its original.
    const seconds = Math.floor(stats.mtimeMs / 1000);
    await utimes(index, seconds, seconds);
  }

  /** A folder of the repository's own git folder, which the agent can exchange at any time. */
  #gitFolder(...names: string[]): FolderPlace {
    return { root: this.#options.workspace, names: [".git", ...names] };
  }

  async #writeTree(own: string, format: ObjectFormat, unread: UnreadFiles, signal: AbortSignal) {
    const [changed, others, tracked] = await Promise.all([
      // Not whether a submodule is dirty: git would start another git there, with that repository's configuration.
      this.#run(["diff-files", "--raw", "-z", "--no-renames", "--ignore-submodules=dirty"], own, signal),
      this.#run(["ls-files", "-z", "--others", "--exclude-standard"], own, signal),
      unread.size === 0 ? Buffer.alloc(0) : this.#run(["ls-files", "-z", "--cached"], own, signal),
    ]);
    const found = parseDiffFiles(changed);
    const candidates = [...found, ...splitNul(others).map((path) => ({ path, isLink: false }))];
    const { workspace } = this.#options;
    const options = { workspace, format, unread, signal };
    const { links, hashed, ...sorted } = await sortFiles(candidates, splitNul(tracked), options);
    await writeUnread(own, sorted.unread);
    if (links.length > 0) {
      await this.#run(["update-index", "--add", "--replace", "-z", "--index-info"], own, signal, Buffer.concat(links));
    }
    if (hashed.length > 0) {
      const input = Buffer.concat(hashed.flatMap((path) => [path, NUL]));
      await this.#run(["update-index", "--add", "--remove", "--replace", "-z", "--stdin"], own, signal, input);
    }
    const tree = (await this.#run(["write-tree", "--missing-ok"], own, signal)).toString("latin1").trim();
    return { tree, isTooLarge: sorted.isTooLarge };
  }

  async #run(args: readonly string[], own: string, signal: AbortSignal, input?: Uint8Array): Promise<Buffer> {
    return (await this.#git(args, own, signal, { maxBytes: MAX_LIST_BYTES, ...(input && { input }) })).stdout;
  }

  async #git(
    args: readonly string[],
    own: string,
    signal: AbortSignal,
    { maxBytes, input, also = [] }: { maxBytes: number; input?: Uint8Array; also?: readonly string[] },
  ): Promise<GitBytes> {
    const { workspace, env, enclosure } = this.#options;
    const alternates = [join(workspace, ".git/objects"), ...also.map((name) => join(this.own(name), "objects"))];
    const result = await gitBytes(args, {
      cwd: workspace,
      gitDir: own,
      env,
      enclosure,
      signal,
      maxBytes,
      ...(input !== undefined && { input }),
      variables: {
        GIT_INDEX_FILE: join(own, "index"),
        GIT_OBJECT_DIRECTORY: join(own, "objects"),
        GIT_ALTERNATE_OBJECT_DIRECTORIES: alternates.map(quoted).join(":"),
        GIT_OPTIONAL_LOCKS: "0",
      },
    });
    if (result.isCut && maxBytes === MAX_LIST_BYTES) throw new ChangesError("too_large");
    if (result.exitCode !== 0 && !result.isCut) throw new ChangesError("git_failed");
    return result;
  }
}

/** @param ref what HEAD names: a branch, or anything else if it is detached */
function headOf(format: string | undefined, head: string | undefined, ref = ""): Head {
  const [, branch] = /^refs\/heads\/([\s\S]{1,255})$/.exec(ref) ?? [];
  return { format: format === "sha256" ? "sha256" : "sha1", head, branch };
}

const NUL = Buffer.from([0]);

/** Quotes a path for a list that git splits at colons (git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES). */
function quoted(path: string): string {
  return `"${path.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n")}"`;
}
