/** Reads what git prints about changes. Pure. Names are bytes in git, and may hold anything but NUL. */
import { CHANGES_LIMITS, type CommitView, type FileChange } from "@valet/shared/protocol/changes";
import { cutEnd } from "@valet/shared/text";

/** The mode of a repository within a repository, which `snapshot.ts` also gives to files of which only the name counts. */
const LINK_MODE = "160000";
const MAX_SUBJECT = 300;

/** Splits output that ends each item with NUL. */
export function splitNul(output: Buffer): Buffer[] {
  const items: Buffer[] = [];
  for (let from = 0; from < output.length; ) {
    const end = output.indexOf(0, from);
    items.push(output.subarray(from, end === -1 ? output.length : end));
    if (end === -1) break;
    from = end + 1;
  }
  return items;
}

/** A file whose state in the workspace differs, or may differ, from that in the index. */
export interface Candidate {
  readonly path: Buffer;
  /** Whether the index has it as a repository of its own. */
  readonly isLink: boolean;
}

/** Reads `git diff-files --raw -z`, which names an unmerged file several times. */
export function parseDiffFiles(output: Buffer): Candidate[] {
  const items = splitNul(output);
  const found = new Map<string, Candidate>();
  for (let index = 0; index + 1 < items.length; index += 2) {
    const [head = "", path] = [items[index]?.toString("latin1"), items[index + 1] as Buffer];
    found.set(path.toString("latin1"), { path, isLink: head.startsWith(`:${LINK_MODE}`) });
  }
  return [...found.values()];
}

/** The changed files, whether each is text, and which of them the patch may not have. */
export interface ParsedDiff {
  readonly files: FileChange[];
  readonly lines_added: number;
  readonly lines_removed: number;
}

/**
 * Reads `git diff-tree -r -z --raw --numstat -M`: first all raw entries, then the line counts of the same files in the same order.
 * @param redact removes secrets from names
 */
export function parseDiffTree(output: Buffer, redact: (text: string) => string = (text) => text): ParsedDiff {
  const items = splitNul(output);
  const entries: { change: FileChange; isNameOnly: boolean }[] = [];
  const nameOf = (item: Buffer | undefined) => cutEnd(redact((item ?? Buffer.alloc(0)).toString("utf8")), 4096);
  let at = 0;
  for (; items[at]?.[0] === COLON; ) {
    const [oldMode = "", newMode = "", , , status = ""] = (items[at++] as Buffer)
      .toString("latin1")
      .slice(1)
      .split(" ");
    const hasTwo = status.startsWith("R") || status.startsWith("C");
    const first = nameOf(items[at++]);
    const path = hasTwo ? nameOf(items[at++]) : first;
    entries.push({
      change: {
        path,
        previous_path: hasTwo ? first : null,
        kind: KINDS[status[0] ?? ""] ?? "modified",
        lines_added: null,
        lines_removed: null,
      },
      isNameOnly: oldMode === LINK_MODE || newMode === LINK_MODE || status === "T",
    });
  }
  let [added, removed] = [0, 0];
  for (const entry of entries) {
    const counts = /^(\d+|-)\t(\d+|-)\t/.exec((items[at] ?? Buffer.alloc(0)).toString("latin1"));
    if (counts === null) break;
    // A renamed file has an empty name here, and both names as items of their own.
    at += (items[at] as Buffer).length === counts[0].length ? 3 : 1;
    if (entry.isNameOnly || counts[1] === "-") continue;
    entry.change = { ...entry.change, lines_added: Number(counts[1]), lines_removed: Number(counts[2]) };
    added += Number(counts[1]);
    removed += Number(counts[2]);
  }
  return { files: entries.map(({ change }) => change), lines_added: added, lines_removed: removed };
}

const COLON = ":".charCodeAt(0);
const KINDS: { readonly [status: string]: FileChange["kind"] | undefined } = {
  A: "added",
  C: "added",
  D: "deleted",
  R: "renamed",
};

/** Reads `git rev-list --format=%s`: a line `commit <id>`, then the subject. */
export function parseCommits(output: Buffer, redact: (text: string) => string = (text) => text): CommitView[] {
  const lines = output.toString("utf8").split("\n");
  const commits: CommitView[] = [];
  for (let index = 0; index + 1 < lines.length; index += 2) {
    const id = /^commit ([0-9a-f]{40,64})$/.exec(lines[index] ?? "")?.[1];
    if (id === undefined) break;
    commits.push({ id, subject: cutEnd(redact(lines[index + 1] ?? ""), MAX_SUBJECT) });
  }
  return commits;
}

/**
 * Reads `git diff-tree --stdin --name-status -z --no-renames`: for each commit that changed something its id, then a letter and a name for
 * each of its files. Without the letters, a file that is named like a commit would pass for one.
 * @param redact removes secrets from names
 */
export function parseCommitFiles(
  output: Buffer,
  commits: readonly CommitView[],
  redact: (text: string) => string = (text) => text,
): CommitView[] {
  const found = new Map<string, { readonly names: string[]; count: number }>();
  let current = { names: [] as string[], count: 0 };
  const items = splitNul(output);
  for (let at = 0; at < items.length; at++) {
    const text = (items[at] as Buffer).toString("latin1");
    if (!/^[A-Z]$/.test(text)) {
      current = { names: [], count: 0 };
      found.set(text, current);
      continue;
    }
    const name = items[++at];
    current.count++;
    if (name === undefined || current.names.length >= CHANGES_LIMITS.commitFiles) continue;
    current.names.push(cutEnd(redact(name.toString("utf8")), 4096));
  }
  return commits.map((commit) => {
    const files = found.get(commit.id);
    return files === undefined ? commit : { ...commit, files: files.names, files_changed: files.count };
  });
}

/** Splits a patch into the sections of its files; in a section no line begins with these words. */
export function splitPatch(patch: Buffer): Buffer[] {
  const starts: number[] = [];
  for (let at = patch.indexOf(SECTION); at !== -1; at = patch.indexOf(SECTION, at + 1)) {
    if (at === 0 || patch[at - 1] === LINE_FEED) starts.push(at);
  }
  return starts.map((start, index) => patch.subarray(start, starts[index + 1] ?? patch.length));
}

/** Returns whether a section only says that a binary file differs, which `git apply` could not apply. */
export function isBinarySection(section: Buffer): boolean {
  const head = section.subarray(0, 64 * 1024).toString("latin1");
  const body = head.search(/^(?:@@ |Binary files )/m);
  return body !== -1 && head.startsWith("Binary files ", body);
}

const SECTION = Buffer.from("diff --git ");
const LINE_FEED = "\n".charCodeAt(0);
