/** The commands that change a session, and what a command says that ends before the work does, on one real system. */
import { type ChildProcess, execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { waitFor, waitForStatus } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { FULL, mayMount, mounted, READ_ONLY } from "./own-mounts.ts";
import { runInProcess } from "./run-in-process.ts";
import { ScriptedSystem } from "./scripted-system.ts";
import { CLI, type CommandResult, runCli } from "./valet-up.ts";

const TIMEOUT_MS = 120_000;
const scenario = parseScenario(
  JSON.stringify({
    name: "commands",
    rules: [
      { name: "hangs", when: { userContains: "[hang]" }, reply: ["hang"] },
      { name: "quick", when: { userMatches: "." }, reply: [{ text: "Done." }] },
    ],
  }),
  "commands",
);

let system: ScriptedSystem;
let folder: string;
let id: string;

const cli = (...args: string[]) => runInProcess("--state", system.stateDir, ...args);

/** Runs a command, and sends it a signal when a stream has printed a text. */
function interrupted(
  signal: NodeJS.Signals,
  stream: "stdout" | "stderr",
  text: string,
  ...args: string[]
): Promise<CommandResult> {
  const onSpawn = (child: ChildProcess) => {
    let printed = "";
    child[stream]?.on("data", (chunk) => {
      printed += chunk;
      if (printed.includes(text) && !child.killed) child.kill(signal);
    });
  };
  return runCli(["--state", system.stateDir, ...args], { onSpawn });
}

const session = () => system.api.session(id);
const rest = () => waitFor("rest", session, ({ agent }) => agent === "idle", TIMEOUT_MS);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "valet-commands-"));
  system = await ScriptedSystem.start(scenario);
  ({ id } = await system.api.createSession({}));
  await waitForStatus(system.api, id, ["running"], TIMEOUT_MS);
}, TIMEOUT_MS);
afterAll(async () => {
  await system.close();
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

describe("the work goes on", () => {
  const goesOn = () => `The work goes on. See it: valet status ${id}. Stop it: valet abort ${id}.`;

  test(
    "after a time-out, which says the time that was given",
    async () => {
      const { code, stdout, stderr } = await cli("prompt", "--session", id, "[hang]", "--timeout", "1500ms");
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^valet: Timed out after 1\.5 s waiting for message msg_\w+\. /m);
      expect(stderr).toContain(goesOn());
      const queued = await cli("prompt", "--session", id, "Then this.", "--timeout", "1", "--json");
      expect({ ...queued, stdout: JSON.parse(queued.stdout) }).toMatchObject({
        code: 1,
        stdout: { error: { type: "timeout", message: expect.stringMatching(/^Timed out after 1 s /) } },
      });
      // The one may have timed out before its turn began.
      await expect.poll(session).toMatchObject({ agent: "busy", queueLength: 1 });
    },
    TIMEOUT_MS,
  );

  test(
    "after Ctrl-C (130) and SIGTERM (143)",
    async () => {
      const [prompt, json, watch, follow] = await Promise.all([
        interrupted("SIGINT", "stderr", "queued", "prompt", "--session", id, "And this."),
        interrupted("SIGTERM", "stderr", "queued", "prompt", "--session", id, "Or that.", "--json"),
        interrupted("SIGINT", "stdout", "\n", "watch", id),
        interrupted("SIGINT", "stdout", "\n", "trace", id, "--follow"),
      ]);
      expect(prompt).toMatchObject({ code: 130, stdout: "" });
      expect(prompt.stderr).toContain(`valet: Interrupted. ${goesOn()}`);
      expect(json.code).toBe(143);
      expect(JSON.parse(json.stdout)).toEqual({ error: { type: "interrupted", message: `Interrupted. ${goesOn()}` } });
      expect(watch).toMatchObject({ code: 130, stderr: `${goesOn()}\n` });
      expect(follow).toMatchObject({ code: 130, stderr: `${goesOn()}\n` });
      expect(await session()).toMatchObject({ agent: "busy", queueLength: 3 });
    },
    TIMEOUT_MS,
  );
});

test(
  "a message that the API refuses creates no session",
  async () => {
    const before = await system.api.sessions();
    for (const args of [[""], ["Hello", "--model", "gpt"], ["Hello", "--channel", ""], ["語".repeat(150_000)]]) {
      const { code, stdout, stderr } = await cli("prompt", ...args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(/^valet: The (?:input is invalid|message is too large)\./);
    }
    expect(await system.api.sessions()).toHaveLength(before.length);
  },
  TIMEOUT_MS,
);

describe("a reader that closes the pipe", () => {
  /** More than a pipe holds. */
  const LONG = "a line\n".repeat(12_000);

  /** Runs a command in a pipe. @returns its exit code, and what it has printed to standard error */
  function piped(reader: string, ...args: string[]): Promise<{ code: number; stderr: string }> {
    const script = '"$@" | $READER >/dev/null; exit $PIPESTATUS';
    const env = { ...process.env, READER: reader };
    const command = [process.execPath, CLI, "--state", system.stateDir, ...args];
    return new Promise((ended) => {
      const child = execFile("bash", ["-c", script, "bash", ...command], { env }, (error, _stdout, stderr) =>
        ended({ code: Number(error?.code ?? 0), stderr }),
      );
      child.stdin?.end('{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n');
    });
  }

  test(
    "ends a command quietly",
    async () => {
      await system.api.sendMessage(id, { content: LONG });
      const commands = [
        ["head -1", "messages", id, "--full"],
        ["true", "messages", id, "--full"],
        ["true", "messages", id, "--json"],
        ["true", "status"],
        ["true", "--help"],
        ["true", "watch", id, "--json"],
        ["head -1", "trace", id, "--follow"],
        ["true", "mcp"],
        ["true", "export", id, join(folder, "exported")],
      ] as const;
      const results = await Promise.all(
        commands.map(async ([reader, ...args]) => [args, await piped(reader, ...args)] as const),
      );
      for (const [args, { code, stderr }] of results) {
        // A slow export says how far it is.
        const said = stderr.replaceAll(/^\S+: \d+ lines? so far\n/gm, "");
        expect({ code, said }, args.join(" ")).toEqual({ code: 0, said: "" });
      }
      // It was written all the same.
      expect(existsSync(join(folder, "exported/manifest.json"))).toBe(true);
    },
    TIMEOUT_MS,
  );
});

test.skipIf(!mayMount)(
  "an export that cannot be written says why, and leaves nothing",
  async () => {
    const [full, readOnly] = await Promise.all(
      [FULL, READ_ONLY].map((mounts) => mounted(folder, mounts, ["--state", system.stateDir, "export", id, "here"])),
    );
    expect(full).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(/^valet: Nothing was exported\. .*disk is full .* Make room/),
    });
    expect(readOnly).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(
        /^valet: Nothing was exported\. .*: the file system is read-only \(EROFS\)\. Use a folder/,
      ),
    });
  },
  TIMEOUT_MS,
);

/** Runs a command that changes the session. @returns what it says of it */
async function change(command: string, ...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(command, id, ...more);
  expect({ code, stderr }, command).toEqual({ code: 0, stderr: "" });
  expect(stdout.startsWith(`${id}: `)).toBe(true);
  return stdout.slice(id.length + 2).trimEnd();
}

/** Runs a command that is refused. @returns why */
async function refused(code: number, command: string, ...more: string[]): Promise<string> {
  const result = await cli(command, id, ...more);
  expect(result, command).toMatchObject({ code, stdout: "" });
  return result.stderr.replace(/^valet: /, "").trimEnd();
}

describe("a session", () => {
  test(
    "that works does not hibernate; its queue is cleared, what runs is aborted",
    async () => {
      expect(await refused(1, "hibernate")).toBe(
        `The session is busy. Wait until its work has ended, or stop what runs and clear what waits: valet abort ${id}, valet clear ${id}.`,
      );
      const continues = `The running job continues; stop it: valet abort ${id}.`;
      expect(await change("clear")).toBe(`Withdrew 4 jobs from the queue. ${continues}`);
      expect(await session()).toMatchObject({ agent: "busy", queueLength: 0 });
      expect(await change("clear")).toBe(`The queue was empty. ${continues}`);

      const { running } = await system.api.now(id);
      expect(running).toHaveLength(1);
      const next = `Send the next message: valet prompt --session ${id} "…".`;
      expect(await change("abort")).toBe(`Stopped: ${running[0]?.id}. ${next}`);
      expect(await system.api.message(id, running[0]?.id ?? "")).toMatchObject({ status: "done", outcome: "aborted" });
      expect(await change("abort")).toBe(`Nothing was running. ${next}`);
      await rest();
    },
    TIMEOUT_MS,
  );

  test(
    "whose last job is a workflow that failed: `why` explains that one, as `attention` says",
    async () => {
      const steps = [{ name: "check", run: "exit 3" }];
      const { executionId } = await system.api.startWorkflow(id, { name: "checks", steps });
      const workflow = () => system.api.workflow(id, executionId);
      await waitFor("the workflow", workflow, ({ status }) => status === "done", TIMEOUT_MS);
      const attention = async () => (await system.api.attention()).find(({ sessionId }) => sessionId === id);
      // The list, which is in the database, follows the session.
      const item = await waitFor("attention", attention, (each) => each?.verdict.rule === "job_failed", TIMEOUT_MS);
      expect(item?.verdict.command).toBe(`valet why ${id} ${executionId}`);
      for (const args of [[id], [id, executionId]]) {
        const { code, stdout } = await cli("why", ...args, "--json");
        expect({ code, why: JSON.parse(stdout) }).toMatchObject({
          code: 0,
          why: { kind: "workflow", messageId: executionId, failure: { type: "workflow_step_failed" } },
        });
      }
    },
    TIMEOUT_MS,
  );

  test(
    "hibernates and wakes, also when it is asked twice",
    async () => {
      const sleeps = `It sleeps; its files are kept. The next message wakes it, or valet wake ${id}.`;
      expect(await change("hibernate")).toBe(sleeps);
      expect(await session()).toMatchObject({ status: "hibernated" });
      expect(await change("hibernate")).toBe(sleeps);
      for (let time = 0; time < 2; time++) {
        expect(await change("wake")).toBe(`It is awake. Send a message: valet prompt --session ${id} "…".`);
        expect(await session()).toMatchObject({ status: "running" });
      }
    },
    TIMEOUT_MS,
  );

  test(
    "is terminated if somebody agrees; then it does nothing more",
    async () => {
      expect(await refused(2, "terminate")).toMatch(/^The session is running\. .* will be lost\. Say so with --yes\.$/);
      expect(await session()).toMatchObject({ status: "running" });
      expect(await change("terminate", "--yes")).toMatch(/^It is terminated\. Its conversation and traces stay /);
      expect(await session()).toMatchObject({ status: "terminated" });
      expect(await change("terminate", "--yes")).toMatch(/^It had been terminated before\. /);
      expect(await change("abort")).toBe("Nothing was running: the session is terminated.");
      for (const command of ["hibernate", "wake"]) expect(await refused(1, command)).toMatch(/terminated/);
    },
    TIMEOUT_MS,
  );

  test(
    "is deleted if somebody agrees; then it is gone",
    async () => {
      expect(await refused(2, "delete")).toMatch(/ will be lost\. Say so with --yes, or run `valet export/);
      expect(await change("delete", "--yes")).toBe("It is deleted.");
      expect(await change("delete", "--yes")).toBe("It had been deleted before.");
      expect(await refused(2, "status")).toMatch(/deleted/);
    },
    TIMEOUT_MS,
  );
});
