/** What `valet delete` and `valet export` do on the whole system, and what a backup of its state directory is worth. */
import { cpSync, globSync, lstatSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { concerns, livingProcesses, readProcess } from "./processes.ts";
import { runInProcess } from "./run-in-process.ts";
import { ScriptedSystem } from "./scripted-system.ts";
import { ValetProcess } from "./soak/valet-process.ts";
import { modelVariables } from "./valet-up.ts";

const TIMEOUT_MS = 180_000;
/** A command that can be recognised among all processes of the machine. */
const SLEEP = `sleep 98${process.pid}`;

const usage = { usage: { input: 8000, output: 8 } };
const scenario = parseScenario(
  JSON.stringify({
    name: "deletion",
    rules: [
      {
        name: "long",
        when: { userContains: "[long]" },
        turn: [
          [{ tool: "bash", arguments: { command: `echo secret > left.txt; ${SLEEP}` } }, usage],
          [{ text: "?" }, usage],
        ],
      },
      {
        name: "note",
        when: { userContains: "[note]" },
        turn: [
          [{ tool: "bash", arguments: { command: "echo kept > notes.txt" } }, usage],
          [{ text: "Noted." }, usage],
        ],
      },
      { name: "quick", when: { userMatches: "." }, reply: [{ text: "Done." }, usage] },
    ],
  }),
  "deletion",
);

let system: ScriptedSystem;
let folder: string;

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-deletion-")));
  system = await ScriptedSystem.start(scenario);
}, TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

const cli = (...args: string[]) => runInProcess("--state", system.stateDir, ...args);

/** Returns the processes of a session's sandbox, and of its commands. */
function processesOf(sessionId: string): number[] {
  return livingProcesses().filter((pid) => {
    const command = readProcess(pid, "cmdline").replaceAll("\0", " ");
    return concerns(pid, sessionId) || command.includes(SLEEP);
  });
}

/** What a person said to the agent. */
const SAID = `said-${process.pid}`;

/** Returns the files of the state directory that contain what was said. */
function filesThatQuote(): string[] {
  const all = globSync("{broker,storage}/**/*", { cwd: system.stateDir, withFileTypes: true });
  const paths = all.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return paths.filter((path) => readFileSync(path).includes(SAID));
}

/** Returns each file and folder of a state directory, with its size and the time of its last change. */
function contentOf(state: string): Record<string, string> {
  const paths = globSync("**", { cwd: state }).filter((path) => path !== "");
  const entries = paths.map((path) => [path, lstatSync(join(state, path))] as const);
  return Object.fromEntries(entries.map(([path, { size, mtimeMs }]) => [path, `${size} ${mtimeMs}`]));
}

/** Returns the files of sandboxes and snapshots. */
const files = (name: string) => globSync(`broker/**/${name}`, { cwd: system.stateDir });

const ended = (api: typeof system.api, id: string, messageId: string) =>
  waitFor(
    `the end of ${messageId}`,
    () => api.message(id, messageId),
    (message) => message?.status === "done",
    TIMEOUT_MS,
  );

test(
  "a session that is deleted during a turn leaves no process, no folder and no answer but 410",
  async () => {
    const { id } = await system.api.createSession({ prompt: `[long] ${SAID}` });
    await waitFor(
      "the command and its file",
      async () =>
        processesOf(id).some((pid) => readProcess(pid, "cmdline").includes("sleep")) && files("left.txt").length,
      Boolean,
      TIMEOUT_MS,
    );
    expect(filesThatQuote()).not.toEqual([]);
    // A script must say that it means it.
    const asked = await cli("delete", id);
    expect(asked).toMatchObject({ code: 2, stdout: "" });
    expect(asked.stderr).toMatch(
      /^valet: The session is running\. Its sandbox and files, .* will be lost\. Say so with --yes/,
    );
    expect(await system.api.session(id)).not.toHaveProperty("deletion");

    const deleted = await cli("delete", id, "--yes", "--json");
    expect([deleted.code, JSON.parse(deleted.stdout)]).toEqual([0, { sessionId: id, status: "deleted" }]);
    expect(processesOf(id)).toEqual([]);
    expect(files("left.txt")).toEqual([]);
    expect(system.valet.left()).toEqual([]);
    expect(filesThatQuote()).toEqual([]);
    const { url, token } = system.valet.connection;
    const response = await fetch(`${url}/api/sessions/${id}`, { headers: { authorization: `Bearer ${token}` } });
    expect(response.status).toBe(410);
    expect(await cli("delete", id, "--yes")).toMatchObject({ code: 0, stdout: `${id}: It had been deleted before.\n` });
    expect((await system.api.sessions()).map((session) => session.id)).not.toContain(id);
    expect(await cli("export", id, join(folder, "gone"))).toMatchObject({ code: 2 });
    expect(readdirSync(folder)).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "a session is exported with its conversation and every span that the API has, and a copy of the stopped state wakes elsewhere",
  async () => {
    const { api } = system;
    const { id } = await api.createSession({});
    await api.sendMessage(id, { content: "[note] remember", id: "msg_note" });
    await ended(api, id, "msg_note");
    await api.change(id, "hibernate");
    await waitFor(
      "the hibernate",
      () => api.session(id),
      ({ status }) => status === "hibernated",
      TIMEOUT_MS,
    );
    const { code, stdout } = await cli("export", id, join(folder, "export"), "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ folder: join(folder, "export"), sessionId: id, status: "hibernated" });
    const read = (name: string) => readFileSync(join(folder, "export", name), "utf8");
    const messages = read("messages.jsonl").trimEnd().split("\n");
    expect(messages.map((line) => JSON.parse(line))).toMatchObject([{ content: "[note] remember", outcome: "ok" }]);
    const ids = new Set(
      Array.from(read("traces.otlp.jsonl").matchAll(/"spanId":"([0-9a-f]{16})"/g), ([, span]) => span),
    );
    const traces = await api.traces(id);
    const spans = traces.reduce((sum, trace) => sum + trace.spans, 0);
    expect(JSON.parse(read("manifest.json")).counts).toEqual({ messages: 1, turns: 1, workflows: 0, spans });
    expect(ids.size).toBeGreaterThanOrEqual(spans);

    expect(read("changes.jsonl").trimEnd().split("\n")).toHaveLength(1);

    // As docs/deploy.md says.
    await system.valet.stop();
    const copy = join(folder, "copy");
    cpSync(system.stateDir, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    const original = contentOf(system.stateDir);
    const restored = await ValetProcess.start(copy, modelVariables(system.model));
    try {
      expect(await restored.api.messages(id)).toEqual(messages.map((line) => JSON.parse(line)));
      await restored.api.sendMessage(id, { content: "quickly", id: "msg_after" });
      expect(await ended(restored.api, id, "msg_after")).toMatchObject({ outcome: "ok" });
      const notes = globSync("broker/sandboxes/*/workspace/notes.txt", { cwd: copy });
      expect(notes.map((path) => readFileSync(join(copy, path), "utf8"))).toEqual(["kept\n"]);
    } finally {
      await restored.stop();
    }
    // The original is as it was.
    expect(contentOf(system.stateDir)).toEqual(original);
    expect(Object.keys(original)).toContain("format.json");
  },
  TIMEOUT_MS,
);
