/** What a turn changed, on real parts: the agent edits and commits in a real repository, and the diff answers while the session sleeps. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { waitFor, waitForMessage, waitForStatus, waitForWorkflow } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { DiffView } from "../packages/shared/src/protocol/changes.ts";
import { runInProcess } from "./run-in-process.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 300_000;
/** Commits to a repository that nobody has configured, such as a submodule, and prints the author. */
const ELSEWHERE =
  'there=$(mktemp -d) && git init -q "$there" && cd "$there" && git commit -q --allow-empty -m x && git log --format="by %an <%ae>"';
const BY_VALET = "by Valet <valet@localhost>";
const bash = (command: string) => [[{ tool: "bash", arguments: { command } }], [{ text: "Done." }]];
const scenario = parseScenario(
  JSON.stringify({
    name: "changes",
    rules: [
      {
        name: "commit",
        when: { userContains: "[commit]" },
        turn: bash(
          "printf 'one\\n2\\n' > file.txt && git commit -qam 'a change' && echo new > new.txt && echo x > ignored && git log -1 --format=%B",
        ),
      },
      { name: "again", when: { userContains: "[again]" }, turn: bash(`echo more >> new.txt; ${ELSEWHERE}`) },
      { name: "talk", when: { userContains: "[talk]" }, reply: [{ text: "Hello." }] },
    ],
  }),
  "changes",
);

let system: ScriptedSystem;
let folder: string;

const git = (cwd: string, ...args: string[]) =>
  execFileSync("git", ["-c", "user.name=A", "-c", "user.email=a@example.com", ...args], {
    cwd,
    encoding: "utf8",
  }).trim();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "valet-changes-"));
  mkdirSync(join(folder, "repo"));
  writeFileSync(join(folder, "repo/file.txt"), "one\ntwo\n");
  writeFileSync(join(folder, "repo/.gitignore"), "ignored\n");
  git(join(folder, "repo"), "init", "--quiet", "--initial-branch=main");
  git(join(folder, "repo"), "add", ".");
  git(join(folder, "repo"), "commit", "--quiet", "--message", "first");
  system = await ScriptedSystem.start(scenario);
}, TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

test(
  "the diff of each turn is right, also while the session sleeps, and applies to a clone",
  async () => {
    const { api, stateDir } = system;
    const { id } = await api.createSession({ repoUrl: `file://${join(folder, "repo")}` });
    const outputs: string[] = [];
    const traceIds: string[] = [];
    const say = async (content: string) => {
      const { messageId } = await api.sendMessage(id, { content });
      const message = await waitForMessage(api, id, messageId, () => {}, TIMEOUT_MS);
      expect(message).toMatchObject({ outcome: "ok" });
      outputs.push(JSON.stringify(message.parts));
      traceIds.push(message.traceId ?? "");
      return messageId;
    };
    const known = (messageId: string) =>
      waitFor(
        "the changes",
        () => api.diff(id, { to: messageId }),
        ({ unknown_turns }) => unknown_turns === 0,
        TIMEOUT_MS,
      );
    const first = await say("[commit]");
    expect(await known(first)).toMatchObject({
      turns: [{ message_ids: [first], shared_with: [], head_branch: "main", patch: "whole" }],
      commits: 1,
      files_changed: 2,
      lines_added: 2,
      lines_removed: 1,
    });
    const trailers = (of: string, trace: string) =>
      [`Valet-Session: ${id}`, `Valet-Message: ${of}`, `Valet-Trace: ${trace}`].join("\n");
    expect(outputs[0]).toContain(JSON.stringify(trailers(first, traceIds[0] ?? "")).slice(1, -1));
    await known(await say("[again]"));
    expect(outputs.at(-1)).toContain(BY_VALET);
    const talk = await say("[talk]");
    expect(await known(talk)).toMatchObject({ commits: 0, files_changed: 0, patch: "" });

    const run = `git commit -q --allow-empty -m 'of a command' && git log -1 --format=%B && ${ELSEWHERE}`;
    const { executionId } = await api.startWorkflow(id, { name: "commit", steps: [{ name: "commit", run }] });
    const execution = await waitForWorkflow(
      api,
      id,
      executionId,
      () => {},
      () => {},
      TIMEOUT_MS,
    );
    expect(execution.steps[0]?.output).toContain(trailers(executionId, execution.traceId ?? ""));
    expect(execution.steps[0]?.output).toContain(BY_VALET);
    expect(await known(executionId)).toMatchObject({ commits: 1, files_changed: 0 });

    await api.change(id, "hibernate");
    await waitForStatus(api, id, ["hibernated"], TIMEOUT_MS);
    const cli = async (...args: string[]) => {
      const { code, stdout, stderr } = await runInProcess("diff", id, ...args, "--state", stateDir);
      expect([code, stderr.replace(/^#.*\n/gm, "")], args.join(" ")).toEqual([0, ""]);
      return stdout;
    };
    const clone = join(folder, "clone");
    git(folder, "clone", "--quiet", join(folder, "repo"), clone);
    execFileSync("git", ["apply"], { cwd: clone, input: await cli("first") });
    expect(readFileSync(join(clone, "file.txt"), "utf8")).toBe("one\n2\n");
    expect(readFileSync(join(clone, "new.txt"), "utf8")).toBe("new\nmore\n");
    expect(git(clone, "status", "--porcelain").split("\n").sort()).toEqual(["?? new.txt", "M file.txt"]);
    const stat = await cli("first", "--stat");
    expect(stat).toContain("1 commit, 2 files, +2 -1 lines");
    expect(stat).toContain("4 turns: 2 commits, 2 files, +3 -1 lines");
    expect(DiffView.parse(JSON.parse(await cli(first, first, "--json"))).turns).toHaveLength(1);

    const { turns } = { turns: await api.turns(id) };
    expect(turns.map(({ commits, files_changed }) => [commits, files_changed])).toEqual([
      [1, 2],
      [0, 1],
      [0, 0],
      [1, 0],
    ]);
    const traces = await api.traces(id);
    const own = traces.filter(({ name }) => name === "valet.turn.changes");
    expect(own).toHaveLength(4);
    const spans = (await Promise.all(own.map(({ traceId }) => api.trace(id, traceId)))).flatMap(readSpans);
    expect(JSON.stringify(spans)).not.toMatch(/new\.txt|file\.txt|a change/);
    expect(spans.map(({ attributes }) => attributes["valet.changes.file_count"]).sort()).toEqual([0, 0, 1, 2]);

    // In a restored sandbox the state before is that after the last turn, and files that are only copied have not changed.
    expect(await known(await say("[again]"))).toMatchObject({
      turns: [{ shared_with: [], unknown: null, files: [{ path: "new.txt", kind: "modified", lines_added: 1 }] }],
      commits: 0,
      files_changed: 1,
    });
  },
  TIMEOUT_MS,
);
