/** What each attempt changed, as the runner reports it: with overlaps, limits, restarts, and a git that hangs. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHANGES_LIMITS } from "@valet/shared/protocol/changes";
import type { PromptDispatch } from "@valet/shared/protocol/dispatch";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { alwaysOn, createRandomIds, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { runGit } from "../../test/git-server.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import type { RunnerTracer } from "../spans/tracing.ts";
import { TurnChanges, type TurnChangesOptions } from "./turn-changes.ts";

type Frame = FromRunnerOf<"turn-changes">;

const dispatchOf = (attemptId: string, channel = "main") =>
  ({
    attemptId,
    channel,
    messageId: `msg_${attemptId}`,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  }) as PromptDispatch;

/** Changes a file, as a plugin may. */
const write = (workspace: string) => writeFileSync(join(workspace, "by-plugin"), "1\n");

async function setUp(given: { home?: string; options?: Partial<TurnChangesOptions>; isFresh?: boolean } = {}) {
  const { home = temporaryFolder(), isFresh = true } = given;
  const workspace = join(home, "workspace");
  const isNew = !readdirSync(home).includes("workspace");
  if (isNew) {
    mkdirSync(workspace);
    runGit(workspace, "init", "--quiet", "--initial-branch=main");
    writeFileSync(join(workspace, "file"), "1\n");
    runGit(workspace, "add", ".");
    runGit(workspace, "commit", "--quiet", "--message", "first");
  }
  const frames: Frame[] = [];
  const problems: string[] = [];
  const spans: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "test" },
    sampler: alwaysOn,
    ids: createRandomIds(),
    processor: { onStart: () => {}, onEnd: (span: ReadableSpan) => spans.push(span) },
  }) as unknown as RunnerTracer;
  const changes = new TurnChanges({
    workspace,
    stateFolder: join(home, "state"),
    env: { PATH: process.env.PATH },
    tracer,
    secrets: new SecretValues(),
    takeSpans: () => undefined,
    send: (frame) => frames.push(frame),
    onProblem: (problem) => problems.push(problem),
    takeMs: 20_000,
    ...given.options,
  });
  changes.isWanted = true;
  await changes.ready(true, isFresh ? { revision: runGit(workspace, "rev-parse", "HEAD") } : undefined);
  const write = (name: string, content: string) => writeFileSync(join(workspace, name), content);
  const turn = async (id: string, work: () => void) => {
    changes.began(dispatchOf(id));
    work();
    await changes.ended(dispatchOf(id), true);
    return frames.findLast(({ attemptId }) => attemptId === id) as Frame;
  };
  const objects = () =>
    readdirSync(join(home, "state/changes")).filter((name) => !/^(?:state\.json|unsent)/.test(name));
  return { home, workspace, changes, frames, problems, spans, write, turn, objects };
}

const pathsOf = ({ facts }: Frame) => facts?.files.map(({ path }) => path);

test("each turn has what it changed, and its span the counts without a name", async () => {
  const { turn, write, workspace, spans, problems, objects } = await setUp();
  const one = await turn("1", () => write("secret-name", "a\nb\n"));
  expect(one).toMatchObject({ sharedWith: [], facts: { commits: 0, files_changed: 1, lines_added: 2 } });
  expect(pathsOf(one)).toEqual(["secret-name"]);
  const two = await turn("2", () => {
    runGit(workspace, "add", ".");
    runGit(workspace, "commit", "--quiet", "--message", "second");
  });
  expect(two.facts).toMatchObject({ commits: 1, files_changed: 0, lines_added: 0, head_branch: "main" });
  expect(two.patch).toBeUndefined();
  expect(spans.map(({ name }) => name)).toEqual(["valet.turn.changes", "valet.turn.changes"]);
  expect(spans[0]?.parent).toBeUndefined();
  expect(spans[0]?.links[0]?.context.spanId).toBe("b7ad6b7169203331");
  expect(JSON.stringify(spans)).not.toContain("secret-name");
  expect(problems).toEqual([]);
  await vi.waitFor(() => expect(objects()).toHaveLength(1), 20_000);
});

test("a turn that changed nothing says so after a look", async () => {
  const { turn } = await setUp();
  expect((await turn("1", () => {})).facts).toMatchObject({ commits: 0, files_changed: 0, head_branch: "main" });
});

test("a turn that begins before the state of the one before is known names it, and is named", async () => {
  const { changes, frames, write } = await setUp();
  changes.began(dispatchOf("1"));
  write("by-1", "1\n");
  const looking = changes.ended(dispatchOf("1"), true);
  changes.began(dispatchOf("2"));
  write("by-2", "1\n");
  await looking;
  await changes.ended(dispatchOf("2"), true);
  expect(frames.map(({ sharedWith }) => sharedWith)).toEqual([["2"], ["1"]]);
  expect(pathsOf(frames[1] as Frame)).toContain("by-2");
});

test.each([
  ["without tools: nobody names the other", false, () => {}, []],
  ["without tools that changed a file all the same: they name each other", false, write, ["1", "2"]],
  ["with tools: they name each other", true, () => {}, ["1", "2"]],
] as const)("a turn that begins while the state after one is read, %s", async (_what, usedTools, work, named) => {
  const { changes, frames, workspace } = await setUp();
  changes.began(dispatchOf("1"));
  work(workspace);
  const look = changes.ended(dispatchOf("1"), usedTools);
  changes.began(dispatchOf("2"));
  await look;
  writeFileSync(join(workspace, "by-2"), "2\n");
  await changes.ended(dispatchOf("2"), true);
  const [first, second] = frames as [Frame, Frame];
  expect(pathsOf(second)).toContain("by-2");
  expect([...second.sharedWith, ...first.sharedWith]).toEqual(named);
});

test("turns that overlap name each other, and the next one names nobody", async () => {
  const { changes, frames, write, turn } = await setUp();
  changes.began(dispatchOf("a", "one"));
  changes.began(dispatchOf("b", "two"));
  write("by-a", "1\n");
  write("by-b", "1\n");
  await changes.ended(dispatchOf("a", "one"), true);
  write("later-by-b", "1\n");
  await changes.ended(dispatchOf("b", "two"), true);
  const [a, b] = frames as [Frame, Frame];
  expect([a.sharedWith, pathsOf(a)]).toEqual([["b"], ["by-a", "by-b"]]);
  expect([b.sharedWith, pathsOf(b)]).toEqual([["a"], ["by-a", "by-b", "later-by-b"]]);
  expect((await turn("c", () => write("by-c", "1\n"))).sharedWith).toEqual([]);
});

test("a turn whose changes are unknown is in the next one's, which says so", async () => {
  const { changes, frames, write, workspace } = await setUp();
  // A HEAD that nobody writes to hangs git.
  const head = join(workspace, ".git/HEAD");
  changes.began(dispatchOf("1"));
  write("by-1", "1\n");
  rmSync(head);
  execFileSync("mkfifo", [head]);
  const hangs = changes.ended(dispatchOf("1"), true);
  await changes.stop();
  await hangs;
  expect(frames).toMatchObject([{ attemptId: "1", unknown: "runner_stopped", sharedWith: [] }]);
  rmSync(head);
  writeFileSync(head, "ref: refs/heads/main\n");
  const after = await setUp({ home: join(workspace, "..") });
  expect(await after.turn("2", () => after.write("by-2", "1\n"))).toMatchObject({ sharedWith: ["1"] });
  expect(pathsOf(after.frames.at(-1) as Frame)).toEqual(["by-1", "by-2"]);
  expect(await after.turn("3", () => after.write("by-3", "1\n"))).toMatchObject({ sharedWith: [] });
});

test("a git that hangs ends at the limit", async () => {
  const { turn, workspace } = await setUp({ options: { takeMs: 300 } });
  const head = join(workspace, ".git/HEAD");
  const frame = await turn("1", () => {
    rmSync(head);
    execFileSync("mkfifo", [head]);
  });
  expect(frame).toMatchObject({ unknown: "timeout" });
  // It would hang for good.
  expect(frame.tookMs).toBeGreaterThanOrEqual(299);
  expect(frame.facts).toBeUndefined();
});

test("a repository that is gone, and one that is new", async () => {
  const { turn, workspace, write } = await setUp();
  expect(await turn("1", () => rmSync(join(workspace, ".git"), { recursive: true }))).toMatchObject({
    unknown: "not_a_repository",
  });
  // The state before is that of a commit that went with its repository.
  expect(await turn("3", () => runGit(workspace, "init", "--quiet"))).toMatchObject({ unknown: "git_failed" });
  expect(pathsOf(await turn("4", () => write("new", "1\n")))).toEqual(["new"]);
});

test("a report is sent again until it is acknowledged, by a restarted runner, too", async () => {
  const { turn, write, changes, frames, home } = await setUp();
  await turn("1", () => write("a", "1\n"));
  await turn("2", () => write("a", "2\n"));
  changes.resend();
  expect(frames.map(({ attemptId }) => attemptId)).toEqual(["1", "2", "1", "2"]);
  changes.acknowledged("1");
  changes.acknowledged("1");
  const after = await setUp({ home });
  after.changes.resend();
  expect(after.frames).toEqual([frames[1]]);
  after.changes.acknowledged("2");
  const last = await setUp({ home });
  last.changes.resend();
  expect(last.frames).toEqual([]);
});

test("a SessionAgent that does not take reports gets none", async () => {
  const { changes, frames, write, turn } = await setUp();
  changes.isWanted = false;
  changes.began(dispatchOf("1"));
  write("a", "1\n");
  await changes.ended(dispatchOf("1"), true);
  expect(frames).toEqual([]);
  changes.isWanted = true;
  expect(await turn("2", () => write("b", "1\n"))).toMatchObject({ sharedWith: ["1"] });
});

/** Creates files beyond a limit of one turn. */
const beyondLimit = {
  "more files": (folder: string) => {
    for (let file = 0; file <= CHANGES_LIMITS.candidates; file++) writeFileSync(join(folder, `f${file}`), "1\n");
  },
  "more bytes": (folder: string) => {
    for (let bytes = 0; bytes <= CHANGES_LIMITS.candidateBytes; bytes += CHANGES_LIMITS.fileBytes) {
      const file = join(folder, `f${bytes / CHANGES_LIMITS.fileBytes}`);
      writeFileSync(file, "");
      truncateSync(file, CHANGES_LIMITS.fileBytes);
    }
  },
};

test.each(["more files", "more bytes"] as const)(
  "only the turn that adds %s than one may is too large",
  async (what) => {
    const { turn, write, workspace, home } = await setUp();
    const many = join(workspace, "many");
    mkdirSync(many);
    expect(await turn("1", () => beyondLimit[what](many))).toMatchObject({ unknown: "too_large" });
    const two = await turn("2", () => write("file", "2\n"));
    // The first turn's files are in its own state, so they are not in these changes.
    expect(two).toMatchObject({ sharedWith: [], facts: { files_changed: 1, lines_added: 1, lines_removed: 1 } });
    const after = await setUp({ home });
    const three = await after.turn("3", () => {
      write("many/f0", "2\n2\n");
      rmSync(join(many, "f1"));
      write("new", "1\n");
    });
    const nameOnly = { previous_path: null, lines_added: null, lines_removed: null };
    expect(three.facts).toMatchObject({
      files_changed: 3,
      lines_added: 1,
      files: [
        { path: "many/f0", kind: "modified", ...nameOnly },
        { path: "many/f1", kind: "deleted", ...nameOnly },
        { path: "new", kind: "added", lines_added: 1 },
      ],
    });
    // Its content was read then.
    const four = await after.turn("4", () => write("many/f0", "2\n3\n"));
    expect(four.facts).toMatchObject({ files_changed: 1, lines_added: 1, lines_removed: 1 });
  },
);

test("files that were too many for their turn may be committed, ignored and removed later", async () => {
  const { turn, write, workspace } = await setUp();
  const many = join(workspace, "many");
  mkdirSync(many);
  const created = await turn("1", () => {
    beyondLimit["more files"](many);
    write("other", "1\n");
  });
  expect(created).toMatchObject({ unknown: "too_large" });
  const commit = () => {
    runGit(workspace, "add", "many");
    runGit(workspace, "commit", "--quiet", "--message", "many");
  };
  expect((await turn("2", commit)).facts).toMatchObject({ commits: 1, files_changed: 0 });
  const ignored = await turn("3", () => write(".git/info/exclude", "other\n"));
  expect(pathsOf(ignored)).toEqual(["other"]);
  const removed = await turn("4", () => rmSync(many, { recursive: true }));
  expect(removed.facts).toMatchObject({ files_changed: CHANGES_LIMITS.candidates + 1, lines_removed: 0 });
  expect((await turn("5", () => write("file", "2\n"))).facts).toMatchObject({ files_changed: 1, lines_added: 1 });
});

test("a workspace with earlier work starts from its state, not from its commit", async () => {
  const first = await setUp();
  first.write("earlier", "1\n");
  rmSync(join(first.home, "state"), { recursive: true });
  const { turn, write } = await setUp({ home: first.home, isFresh: false });
  expect(pathsOf(await turn("1", () => write("now", "1\n")))).toEqual(["now"]);
});

test("secrets are not in names, commits and patches", async () => {
  const secrets = new SecretValues();
  secrets.add("a-very-secret-value");
  const { turn, write } = await setUp({ options: { secrets } });
  const frame = await turn("1", () => write("a-very-secret-value.txt", "key=a-very-secret-value\n"));
  const patch = Buffer.from(Bun.gunzipSync(Buffer.from(frame.patch ?? "", "base64"))).toString();
  expect(JSON.stringify(frame) + patch).not.toContain("a-very-secret-value");
  expect(patch).toContain("+key=REDACTED");
});
