/** What changed between two states of a workspace, with the git of this machine, in repositories as agents may leave them. */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { CHANGES_LIMITS } from "@valet/shared/protocol/changes";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import { compareSnapshots } from "./diff-snapshots.ts";
import { Snapshots, snapshotOfCommit } from "./snapshot.ts";

const ENV = { PATH: process.env.PATH };
const never = () => new AbortController().signal;
const same = (text: string) => text;

function workspaceOf(format = "sha1") {
  const home = temporaryFolder();
  const workspace = join(home, "work space");
  mkdirSync(workspace);
  const git = (...args: string[]) =>
    execFileSync("git", args, {
      cwd: workspace,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...ENV, HOME: home, GIT_CONFIG_NOSYSTEM: "1" },
    });
  git("init", "--quiet", "--initial-branch=main", `--object-format=${format}`);
  git("config", "user.name", "A");
  git("config", "user.email", "a@example.com");
  const write = (name: string, content: string | Buffer) => writeFileSync(join(workspace, name), content);
  const commit = (message: string) => {
    git("add", "--all");
    git("commit", "--quiet", "--message", message);
  };
  const snapshots = new Snapshots({ workspace, folder: join(home, "runner"), env: ENV });
  return { home, workspace, git, write, commit, snapshots };
}

type Workspace = ReturnType<typeof workspaceOf>;

/** Returns what `work` changed. */
async function changesOf(
  { snapshots, git }: Workspace,
  work: () => unknown,
  from?: "head",
  redact: (text: string) => string = same,
) {
  const before = from === "head" ? snapshotOfCommit(git("rev-parse", "HEAD").trim()) : await snapshots.take(never());
  await work();
  const after = await snapshots.take(never());
  const { facts, patch } = await compareSnapshots(snapshots, before, after, redact, never());
  return { facts, patch: patch === undefined ? undefined : gunzipSync(patch).toString("utf8"), after };
}

const byPath = (files: readonly { path: string }[]) =>
  Object.fromEntries(files.map(({ path, ...rest }) => [path, rest]));

test.for(["sha1", "sha256"])("commits, branch, files, lines and a patch that git applies (%s)", async (format) => {
  const workspace = workspaceOf(format);
  const { write, commit, git } = workspace;
  write("a.txt", "one\ntwo\nthree\n");
  write("b.txt", "b\n".repeat(30));
  write(".gitignore", "ignored\n");
  commit("first");
  const { facts, patch } = await changesOf(
    workspace,
    () => {
      git("checkout", "--quiet", "-b", "feature/x");
      write("a.txt", "one\n2\nthree\n");
      commit("a second: commit");
      git("mv", "b.txt", "c.txt");
      write("new.txt", "new\n");
      write("ignored", "secret\n");
    },
    "head",
  );
  expect(facts).toMatchObject({
    commits: 1,
    // Of the commit itself: what the turn changed beside it is not in its list.
    commit_list: [
      { id: git("rev-parse", "HEAD").trim(), subject: "a second: commit", files: ["a.txt"], files_changed: 1 },
    ],
    head_branch: "feature/x",
    head_revision: git("rev-parse", "HEAD").trim(),
    files_changed: 3,
    lines_added: 2,
    lines_removed: 1,
    is_patch_whole: true,
  });
  expect(byPath(facts.files)).toEqual({
    "a.txt": { kind: "modified", previous_path: null, lines_added: 1, lines_removed: 1 },
    "c.txt": { kind: "renamed", previous_path: "b.txt", lines_added: 0, lines_removed: 0 },
    "new.txt": { kind: "added", previous_path: null, lines_added: 1, lines_removed: 0 },
  });
  git("checkout", "--quiet", "--force", "main");
  rmSync(join(workspace.workspace, "new.txt"));
  execFileSync("git", ["apply"], { cwd: workspace.workspace, input: patch ?? "" });
  expect(readFileSync(join(workspace.workspace, "a.txt"), "utf8")).toBe("one\n2\nthree\n");
  expect(readFileSync(join(workspace.workspace, "new.txt"), "utf8")).toBe("new\n");
});

test("HEAD is a branch, a commit, or nothing yet, also where its name is ambiguous", async () => {
  const { write, commit, git, snapshots } = workspaceOf();
  const head = async () => {
    const { head: revision, branch } = await snapshots.take(never());
    return { revision, branch };
  };
  expect(await head()).toEqual({ revision: undefined, branch: "main" });
  for (const name of ["HEAD", "HEAD^{commit}"]) write(name, "a file\n");
  expect(await head()).toEqual({ revision: undefined, branch: "main" });
  commit("first");
  const revision = git("rev-parse", "--verify", "HEAD").trim();
  expect(await head()).toEqual({ revision, branch: "main" });
  git("update-ref", "refs/heads/HEAD", revision);
  expect(await head()).toEqual({ revision, branch: "main" });
  git("checkout", "--quiet", "--detach");
  expect(await head()).toEqual({ revision, branch: undefined });
});

test("a file that is named like a commit is one of its commit's files; a branch that was set back has no commits", async () => {
  const workspace = workspaceOf();
  const { write, commit, git } = workspace;
  write("a", "1\n");
  commit("before");
  const { facts } = await changesOf(workspace, () => {
    write("b", "1\n");
    commit("first");
    write(git("rev-parse", "HEAD").trim(), "1\n");
    write("z", "1\n");
    commit("second");
  });
  const first = git("rev-parse", "HEAD^").trim();
  expect(facts.commit_list).toMatchObject([
    { subject: "second", files: [first, "z"], files_changed: 2 },
    { id: first, files: ["b"], files_changed: 1 },
  ]);
  const back = await changesOf(workspace, () => git("reset", "--quiet", "--hard", "HEAD^^"));
  expect(back.facts).toMatchObject({ commits: 0, commit_list: [], files_changed: 3 });
});

test("the repository's own folder does not change at all", async () => {
  const workspace = workspaceOf();
  const { write, commit } = workspace;
  write("a", "1\n");
  commit("first");
  write("b", "2\n");
  const list = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { mtimeMs, size, ino } = statSync(path);
      return `${path} ${mtimeMs} ${size} ${ino}`;
    });
  const dotGit = join(workspace.workspace, ".git");
  const before = list(dotGit).sort();
  await changesOf(workspace, () => write("a", "3\n"));
  expect(list(dotGit).sort()).toEqual(before);
});

test("of large and binary files only the names are known", async () => {
  const workspace = workspaceOf();
  const { write, commit, workspace: folder } = workspace;
  write("text", "x\n");
  commit("first");
  const { facts, patch } = await changesOf(workspace, () => {
    write("large", "");
    truncateSync(join(folder, "large"), CHANGES_LIMITS.fileBytes + 1);
    write("binary", Buffer.from([0, 1, 2, 0]));
    write("text", "y\n");
    mkdirSync(join(folder, "sparse"));
    write("sparse/huge", "");
    truncateSync(join(folder, "sparse/huge"), 2 ** 40);
  });
  const known = { kind: "added", previous_path: null, lines_added: null, lines_removed: null };
  expect(byPath(facts.files)).toEqual({
    large: known,
    binary: known,
    "sparse/huge": known,
    text: { kind: "modified", previous_path: null, lines_added: 1, lines_removed: 1 },
  });
  expect(facts).toMatchObject({ files_changed: 4, lines_added: 1, lines_removed: 1, is_patch_whole: true });
  expect(patch).toContain("+y");
  expect(patch).not.toMatch(/large|binary|huge/);
});

test("names may have line breaks, quotes and bytes that are not UTF-8; links are not followed", async () => {
  const workspace = workspaceOf();
  const { workspace: folder } = workspace;
  const { facts } = await changesOf(workspace, () => {
    writeFileSync(join(folder, 'line\nbreak\t"x"'), "1\n");
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/bad-`), Buffer.from([0xff, 0xfe])]), "2\n");
    writeFileSync(join(folder, ":colon"), "3\n");
    writeFileSync(join(folder, "-dash"), "4\n");
    symlinkSync("/etc/passwd", join(folder, "link"));
    symlinkSync(".", join(folder, "loop"));
  });
  expect(facts.files.map(({ path }) => path).sort()).toEqual(
    ['line\nbreak\t"x"', "bad-\u{fffd}\u{fffd}", ":colon", "-dash", "link", "loop"].sort(),
  );
  expect(facts.lines_added).toBe(6);
});

test("amended, reset and rewritten commits", async () => {
  const workspace = workspaceOf();
  const { write, commit, git } = workspace;
  write("a", "1\n");
  commit("first");
  write("a", "2\n");
  commit("second");
  const amended = await changesOf(workspace, () => git("commit", "--quiet", "--amend", "--message", "other"));
  expect(amended.facts).toMatchObject({ commits: 1, files_changed: 0, lines_added: 0 });
  const reset = await changesOf(workspace, () => git("reset", "--quiet", "--hard", "HEAD~1"));
  expect(reset.facts).toMatchObject({ commits: 0, files_changed: 1, lines_added: 1, lines_removed: 1 });
  const again = await changesOf(workspace, () => {
    rmSync(join(workspace.workspace, ".git"), { recursive: true });
    git("init", "--quiet", "--initial-branch=trunk");
    execFileSync("git", ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"], {
      cwd: workspace.workspace,
    });
    write("b", "1\n");
  }).catch((error: Error) => error.message);
  // The objects of the state before went with the folder.
  expect(again).toBe("git_failed");
});

test("a merge with conflicts, a repository within the repository, and files that are gone", async () => {
  const workspace = workspaceOf();
  const { write, commit, git, workspace: folder } = workspace;
  write("a", "1\n");
  write("gone", "1\n");
  mkdirSync(join(folder, "dir"));
  write("dir/f", "1\n");
  commit("first");
  git("checkout", "--quiet", "-b", "other");
  write("a", "other\n");
  commit("other");
  git("checkout", "--quiet", "main");
  write("a", "main\n");
  commit("main");
  const { facts } = await changesOf(workspace, () => {
    try {
      git("merge", "other");
    } catch {
      // The conflict.
    }
    rmSync(join(folder, "gone"));
    rmSync(join(folder, "dir"), { recursive: true });
    write("dir", "now a file\n");
    mkdirSync(join(folder, "nested/inner"), { recursive: true });
    execFileSync("git", ["init", "--quiet"], { cwd: join(folder, "nested") });
    write("nested/inner/file", "x\n");
    execFileSync("mkfifo", [join(folder, "pipe")]);
  });
  expect(byPath(facts.files)).toMatchObject({
    a: { kind: "modified", lines_added: 4 },
    gone: { kind: "deleted" },
    "dir/f": { kind: "deleted" },
    dir: { kind: "added" },
    nested: { kind: "added", lines_added: null },
  });
});

test("no program that the repository names runs", async () => {
  const workspace = workspaceOf();
  const { write, commit, git, home, workspace: folder } = workspace;
  const ran = join(home, "ran");
  const program = join(home, "program");
  writeFileSync(program, `#!/bin/sh\necho "$0 $@" >> '${ran}'\ncat\n`, { mode: 0o755 });
  write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
  write("a", "1\n");
  commit("first");
  for (const [key, value] of [
    ["filter.evil.clean", program],
    ["filter.evil.process", program],
    ["filter.evil.required", "true"],
    ["diff.evil.textconv", program],
    ["diff.evil.command", program],
    ["diff.external", program],
    ["core.fsmonitor", program],
    ["core.hooksPath", home],
    ["core.pager", program],
    ["core.alternateRefsCommand", program],
    ["log.showSignature", "true"],
    ["gpg.program", program],
    ["trace2.eventTarget", ran],
  ] as const)
    git("config", key, value);
  for (const hook of ["post-index-change", "reference-transaction", "pre-commit"]) {
    writeFileSync(join(home, hook), `#!/bin/sh\necho hook >> '${ran}'\n`, { mode: 0o755 });
  }
  rmSync(ran, { force: true });
  const { facts } = await changesOf(workspace, () => write("a", "2\n"));
  expect(facts).toMatchObject({ files_changed: 1, lines_added: 1 });
  expect(() => statSync(ran)).toThrow("ENOENT");
  expect(statSync(folder).isDirectory()).toBe(true);
});

test("without a repository, or with a link or a file in its place", async () => {
  const workspace = workspaceOf();
  const { workspace: folder, snapshots, home } = workspace;
  rmSync(join(folder, ".git"), { recursive: true });
  await expect(snapshots.take(never())).rejects.toThrow("not_a_repository");
  symlinkSync(home, join(folder, ".git"));
  await expect(snapshots.take(never())).rejects.toThrow("not_a_repository");
  rmSync(join(folder, ".git"));
  writeFileSync(join(folder, ".git"), `gitdir: ${home}\n`);
  await expect(snapshots.take(never())).rejects.toThrow("not_a_repository");
});

test("a file of the repository that cannot be read ends git at the limit", async () => {
  const workspace = workspaceOf();
  const { workspace: folder, snapshots } = workspace;
  rmSync(join(folder, ".git/HEAD"));
  execFileSync("mkfifo", [join(folder, ".git/HEAD")]);
  const timeout = AbortSignal.timeout(200);
  await expect(snapshots.take(timeout)).rejects.toMatchObject({ name: "TimeoutError" });
});

test("a damaged index is read anew from the commit", async () => {
  const workspace = workspaceOf();
  const { write, commit } = workspace;
  write("a", "1\n");
  commit("first");
  const { facts } = await changesOf(workspace, () => {
    write("a", "2\n");
    writeFileSync(join(workspace.workspace, ".git/index"), "not an index");
  });
  expect(facts).toMatchObject({ files_changed: 1, lines_added: 1, lines_removed: 1 });
});

test("a patch and its names have no secret, in whatever encoding a file has it", async () => {
  const workspace = workspaceOf();
  const secrets = new SecretValues();
  secrets.add("Schlüssel-42");
  const work = () => {
    workspace.write("utf8", "the key is Schlüssel-42.\n");
    workspace.write("latin1", Buffer.from("the key is Schlüssel-42.\n", "latin1"));
    workspace.write("of Schlüssel-42", "");
  };
  const { facts, patch = "" } = await changesOf(workspace, work, undefined, (text) => secrets.redact(text));
  expect(patch.match(/the key is REDACTED\./g)).toHaveLength(2);
  expect(patch).not.toMatch(/ssel-42/);
  expect(facts.files.map(({ path }) => path)).toEqual(["latin1", "of REDACTED", "utf8"]);
});

test("a patch that is too large ends before a file, and the counts stay", async () => {
  const workspace = workspaceOf();
  const { write } = workspace;
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes)).toHex();
  const { facts, patch } = await changesOf(workspace, () => {
    for (let file = 0; file < 20; file++) {
      write(`f${String(file).padStart(2, "0")}`, Array.from({ length: 50 }, () => `${random(1000)}\n`).join(""));
    }
  });
  expect(facts).toMatchObject({ files_changed: 20, lines_added: 1000, is_patch_whole: false });
  expect(facts.files).toHaveLength(20);
  const files = patch?.match(/^diff --git /gm)?.length ?? 0;
  expect(files).toBeGreaterThan(0);
  expect(files).toBeLessThan(20);
  expect(patch?.endsWith("\n")).toBe(true);
});
