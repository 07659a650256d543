/**
 * Reads a patch as git writes it. The lines of a hunk are counted by its head, so nothing that a file contains can pass for the head of
 * another file. What cannot be read is left out; it is still in the text. Pure.
 */

export interface PatchLine {
  readonly type: "insert" | "delete" | "normal";
  readonly content: string;
  /** In the file before; absent for lines that are new. */
  readonly oldLine?: number;
  /** In the file after; absent for lines that are gone. */
  readonly newLine?: number;
  /** Whether it is the last line of the file, and no newline ends it. */
  readonly isUnended?: boolean;
}

interface PatchHunk {
  /** The head: `@@ -1,3 +1,4 @@ function`. */
  readonly head: string;
  readonly oldStart: number;
  readonly newStart: number;
  readonly lines: readonly PatchLine[];
}

export interface PatchFile {
  /** The file after; of one that was deleted, before. */
  readonly path: string;
  readonly hunks: readonly PatchHunk[];
  /** Git's modes of the file, as far as the patch has them: `100644`, executable `100755`, a symbolic link `120000`. */
  readonly modes: { readonly before?: string; readonly after?: string };
  /** Its part of the patch, as it is. */
  readonly text: string;
}

const FILE_HEAD = "diff --git ";
const MODE = /^(old|new|new file|deleted file) mode (\d{6})$/;
/** The mode of a file that has kept it. */
const KEPT_MODE = /^index \S+ (\d{6})$/;
const HUNK_HEAD = /^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@/;

/** Returns the files of a patch, in its order. */
export function parsePatch(patch: string): PatchFile[] {
  const lines = patch.split("\n");
  const files: PatchFile[] = [];
  let at = lines.findIndex((line) => line.startsWith(FILE_HEAD));
  while (at >= 0 && at < lines.length) {
    const start = at;
    const names: { before?: string | undefined; after?: string | undefined } = {};
    const modes: { before?: string; after?: string } = {};
    at += 1;
    while (at < lines.length && !(lines[at] ?? "").startsWith(FILE_HEAD) && !HUNK_HEAD.test(lines[at] ?? "")) {
      const line = lines[at] ?? "";
      if (line.startsWith("--- ")) names.before = nameOf(line.slice(4));
      else if (line.startsWith("+++ ")) names.after = nameOf(line.slice(4));
      else if (line.startsWith("rename to ")) names.after = unquote(line.slice(10));
      else readMode(line, modes);
      at += 1;
    }
    const hunks: PatchHunk[] = [];
    while (at < lines.length && HUNK_HEAD.test(lines[at] ?? "")) {
      const { hunk, end } = readHunk(lines, at);
      hunks.push(hunk);
      at = end;
    }
    while (at < lines.length && !(lines[at] ?? "").startsWith(FILE_HEAD)) at += 1;
    const { before, after } = names;
    const path = after ?? before ?? headPath(lines[start] ?? "");
    files.push({ path, hunks, modes, text: `${lines.slice(start, at).join("\n")}${at < lines.length ? "\n" : ""}` });
  }
  return files;
}

/** @param modes receives what a line before the hunks says of them */
function readMode(line: string, modes: { before?: string; after?: string }): void {
  const [, when = "", mode] = MODE.exec(line) ?? [];
  const kept = KEPT_MODE.exec(line)?.[1];
  if (mode !== undefined) modes[when.startsWith("new") ? "after" : "before"] = mode;
  else if (kept !== undefined) [modes.before, modes.after] = [kept, kept];
}

/** @param start the line of the hunk's head */
function readHunk(lines: readonly string[], start: number): { hunk: PatchHunk; end: number } {
  const head = lines[start] ?? "";
  const [, oldStart = "0", oldCount = "1", newStart = "0", newCount = "1"] = HUNK_HEAD.exec(head) ?? [];
  let oldLine = Number(oldStart);
  let newLine = Number(newStart);
  const oldEnd = oldLine + Number(oldCount);
  const newEnd = newLine + Number(newCount);
  const read: PatchLine[] = [];
  let at = start + 1;
  for (; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const content = line.slice(1);
    if (line.startsWith("\\")) {
      // Git says of the line before: "No newline at end of file".
      const last = read.pop();
      if (last !== undefined) read.push({ ...last, isUnended: true });
      continue;
    }
    if (line.startsWith("+") && newLine < newEnd) read.push({ type: "insert", content, newLine: newLine++ });
    else if (line.startsWith("-") && oldLine < oldEnd) read.push({ type: "delete", content, oldLine: oldLine++ });
    else if (line.startsWith(" ") && newLine < newEnd && oldLine < oldEnd) {
      read.push({ type: "normal", content, oldLine: oldLine++, newLine: newLine++ });
    } else break;
  }
  return { hunk: { head, oldStart: Number(oldStart), newStart: Number(newStart), lines: read }, end: at };
}

/** Returns the path of a `---` or `+++` line; nothing for `/dev/null`. */
function nameOf(text: string): string | undefined {
  // Git ends a name with blanks by a tab.
  const path = unquote(text.replace(/\t$/, ""));
  return path === "/dev/null" ? undefined : path.replace(/^[ab]\//, "");
}

/** The path of a file without hunks, whose name is only in the head: `a/NAME b/NAME`. */
function headPath(head: string): string {
  const text = head.slice(FILE_HEAD.length);
  if (text.startsWith('"')) return unquote(text.slice(0, text.length / 2)).replace(/^a\//, "");
  return text.slice(0, (text.length - 1) / 2).replace(/^a\//, "");
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 };

/** Reads a name that git has put in quotes, with the bytes of other characters as octal numbers. */
function unquote(text: string): string {
  if (!(text.startsWith('"') && text.endsWith('"') && text.length > 1)) return text;
  const bytes: number[] = [];
  for (const [token] of text.slice(1, -1).matchAll(/\\[0-7]{3}|\\.|[^\\]+/gs)) {
    // Not all at once: a call takes no more arguments than the stack holds, and the patch comes from a sandbox.
    if (!token.startsWith("\\")) for (const byte of new TextEncoder().encode(token)) bytes.push(byte);
    else if (token.length === 4) bytes.push(Number.parseInt(token.slice(1), 8) & 0xff);
    else bytes.push(ESCAPES[token.charAt(1)] ?? token.charCodeAt(1));
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}
