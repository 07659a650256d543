/** Compares two states of the workspace: commits, files, lines, and a patch within the limits. */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { CHANGES_LIMITS, type ChangeFacts, type CommitView } from "@valet/shared/protocol/changes";
import {
  isBinarySection,
  type ParsedDiff,
  parseCommitFiles,
  parseCommits,
  parseDiffTree,
  splitPatch,
} from "./parse-changes.ts";
import { ChangesError, type Snapshot, type Snapshots } from "./snapshot.ts";

export interface MeasuredChanges {
  readonly facts: ChangeFacts;
  /** gzip; `undefined` if it is empty. */
  readonly patch: Buffer | undefined;
}

/** Options of both comparisons. Renames are looked for among few files only, since the time for that grows with the square. */
const COMPARE = ["diff-tree", "-r", "-M", "-l200", "--no-ext-diff", "--no-textconv"];
/** The raw and the numeric list of a comparison with very many files. */
const MAX_DIFF_BYTES = 32 * 1024 * 1024;
const compress = promisify(gzip);

/**
 * @param redact removes secrets from texts
 * @throws ChangesError, or the signal's reason
 */
export async function compareSnapshots(
  snapshots: Snapshots,
  before: Snapshot,
  after: Snapshot,
  redact: (text: string) => string,
  signal: AbortSignal,
): Promise<MeasuredChanges> {
  if (after.isTooLarge) throw new ChangesError("too_large");
  const [commits, diff, patch] = await Promise.all([
    commitsBetween(snapshots, before, after, redact, signal),
    before.tree === after.tree ? NO_DIFF : listFiles(snapshots, before, after, redact, signal),
    before.tree === after.tree ? NO_PATCH : makePatch(snapshots, before, after, redact, signal),
  ]);
  const { files, commit_list } = fitLists(diff.files, commits.list);
  const facts: ChangeFacts = {
    commits: commits.count,
    commit_list,
    files_changed: diff.files.length,
    lines_added: diff.lines_added,
    lines_removed: diff.lines_removed,
    head_branch: after.branch ?? null,
    head_revision: after.head ?? null,
    files,
    is_patch_whole: patch.isWhole,
  };
  return { facts, patch: patch.gzip };
}

const NO_DIFF: ParsedDiff = { files: [], lines_added: 0, lines_removed: 0 };
const NO_PATCH = { gzip: undefined, isWhole: true };

async function listFiles(
  snapshots: Snapshots,
  before: Snapshot,
  after: Snapshot,
  redact: (text: string) => string,
  signal: AbortSignal,
): Promise<ParsedDiff> {
  const args = [...COMPARE, "--raw", "--numstat", "-z", "--ignore-submodules=none", before.tree, after.tree];
  const { stdout } = await snapshots.read(args, [before, after], MAX_DIFF_BYTES, signal);
  return parseDiffTree(stdout, redact);
}

/** Makes the patch of all files of which more than the name is known. It ends before the first file that does not fit. */
async function makePatch(
  snapshots: Snapshots,
  before: Snapshot,
  after: Snapshot,
  redact: (text: string) => string,
  signal: AbortSignal,
): Promise<{ readonly gzip: Buffer | undefined; readonly isWhole: boolean }> {
  // Without changes of a file's type: a file that became too large would be in it as one that was deleted.
  const args = [...COMPARE, "-p", "--no-color", "--diff-filter=t", "--ignore-submodules=all"];
  const { stdout, isCut } = await snapshots.read(
    [...args, before.tree, after.tree],
    [before, after],
    CHANGES_LIMITS.patchTextBytes,
    signal,
  );
  const sections = splitPatch(stdout);
  if (isCut) sections.pop();
  let kept = sections.filter((section) => !isBinarySection(section));
  let isWhole = !isCut;
  while (kept.length > 0) {
    // Byte by byte, since a patch has the encodings of its files.
    const text = Buffer.from(redact(Buffer.concat(kept).toString("latin1")), "latin1");
    const packed = await compress(text);
    if (packed.length <= CHANGES_LIMITS.patchBytes && text.length <= CHANGES_LIMITS.patchTextBytes) {
      return { gzip: packed, isWhole };
    }
    isWhole = false;
    kept = kept.slice(0, kept.length >> 1);
  }
  return { gzip: undefined, isWhole };
}

async function commitsBetween(
  snapshots: Snapshots,
  before: Snapshot,
  after: Snapshot,
  redact: (text: string) => string,
  signal: AbortSignal,
): Promise<{ readonly count: number | null; readonly list: CommitView[] }> {
  if (after.head === undefined || after.head === before.head) return { count: 0, list: [] };
  const range = before.head === undefined ? [after.head] : [after.head, `^${before.head}`];
  const [count, list] = await Promise.all([
    snapshots.log(["--count", ...range, "--"], signal),
    snapshots.log([`--max-count=${CHANGES_LIMITS.commits}`, "--format=%s", ...range, "--"], signal),
  ]);
  if (count === undefined || list === undefined) return { count: null, list: [] };
  const commits = parseCommits(list, redact);
  const ids = commits.map(({ id }) => id);
  // None if the branch was only set back.
  const files = ids.length === 0 ? undefined : await snapshots.filesOf(ids, signal);
  return {
    count: Number(count.toString("latin1")),
    list: files === undefined ? commits : parseCommitFiles(files, commits, redact),
  };
}

/** Cuts the lists to their limits in number and size. */
function fitLists(files: ParsedDiff["files"], commits: readonly CommitView[]) {
  let left = CHANGES_LIMITS.listBytes;
  const fits = (item: unknown) => {
    left -= Buffer.byteLength(JSON.stringify(item)) + 1;
    return left >= 0;
  };
  const bare = takeWhile(
    commits.map(({ id, subject }) => ({ id, subject })),
    fits,
  );
  const kept = takeWhile(files.slice(0, CHANGES_LIMITS.files), fits);
  // Their files have what room is left, those of the newest commits first.
  const named = takeWhile(commits.slice(0, bare.length), (commit) => fits(commit));
  return { commit_list: [...named, ...bare.slice(named.length)], files: kept };
}

function takeWhile<T>(items: readonly T[], isWanted: (item: T) => boolean): T[] {
  const end = items.findIndex((item) => !isWanted(item));
  return items.slice(0, end === -1 ? items.length : end);
}
