/** Tests the entrypoint as a process that a broker starts and kills, with the real OpenCode. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadShippedScenario, startScriptedModel } from "@valet/scripted-model";
import type { ToRunner } from "@valet/shared/protocol/runner-link";
import { CreateSandbox, MAX_BROKER_REQUEST_BYTES } from "@valet/shared/protocol/sandbox-broker";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../test/folder.ts";
import { makeRepository } from "../test/git-server.ts";
import { config, dispatch, framesOf, spansOf, startLinkServer } from "../test/link-server.ts";
import { processesOf } from "../test/processes.ts";
import { endAll, type RunnerProcessOptions, startRunnerProcess, TOKEN } from "../test/runner-process.ts";

function folders() {
  const home = temporaryFolder();
  const workspace = join(home, "workspace");
  mkdirSync(workspace);
  return { home, workspace, sandboxId: `sbx_${Math.random().toString(36).slice(2)}` };
}

const NOBODY = "ws://127.0.0.1:1/runner/ses_1";

describe("a start that cannot succeed exits at once with the reason", () => {
  test.each<[string, Partial<RunnerProcessOptions>]>([
    ["VALET_SESSION_ID is missing", { env: { VALET_SESSION_ID: undefined }, input: null }],
    ['standard input: expected a line {"token": "…"}', { input: "secret\n" }],
  ])("%s", async (problem, options) => {
    const { exited, log } = startRunnerProcess({ url: NOBODY, ...folders(), ...options });
    expect(await exited).toBe(78);
    expect(await log).toBe(`valet runner: ${problem}\n`);
  });

  test("a refused runner exits with 77", async () => {
    const server = startLinkServer({ greeting: [{ type: "refused", reason: "stale_generation" }] });
    expect(await startRunnerProcess({ url: server.url, ...folders() }).exited).toBe(77);
  });

  test("a runner with an unsupported protocol exits with 77 and logs both versions", async () => {
    const protocols = { runner: 1, sessionAgent: 7 };
    const server = startLinkServer({ greeting: [{ type: "refused", reason: "protocol_unsupported", protocols }] });
    const { exited, log } = startRunnerProcess({ url: server.url, ...folders() });
    expect(await exited).toBe(77);
    expect(await log).toMatch(
      /protocol_unsupported\. The runner speaks version 1 .*, the Worker version 7: the runner is older\./,
    );
    expect(server.connections.length).toBe(1);
  });
});

describe("a runner that was started ahead of its sandbox", () => {
  test("gets its variables with its input, and has none of a session before", async () => {
    const sandbox = folders();
    const server = startLinkServer();
    const names = ["HOME", "VALET_WORKSPACE", "VALET_SESSION_ID", "VALET_GENERATION", "VALET_RUNNER_URL"];
    const without = Object.fromEntries(names.map((name) => [name, undefined]));
    const runner = startRunnerProcess({
      url: server.url,
      ...sandbox,
      env: { ...without, VALET_STARTED_AHEAD: "1" },
      input: null,
    });
    runner.write({
      token: TOKEN,
      restartCount: 0,
      env: {
        HOME: sandbox.home,
        VALET_WORKSPACE: sandbox.workspace,
        VALET_SESSION_ID: "ses_1",
        VALET_GENERATION: "1",
        VALET_RUNNER_URL: server.url,
      },
    });
    expect(await server.hello(0)).toMatchObject({ generation: 1 });
    runner.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });

  test("takes the largest environment that a broker accepts", async () => {
    const sandbox = folders();
    const server = startLinkServer();
    // JSON needs two bytes for each line break.
    const lines = "\n".repeat(31 * 1024);
    const env = {
      HOME: sandbox.home,
      VALET_WORKSPACE: sandbox.workspace,
      VALET_GENERATION: "7",
      ...Object.fromEntries(Array.from({ length: 4 }, (_, index) => [`LINES_${index}`, lines])),
    };
    const request = { sessionId: "ses_1", generation: 7, env, runnerToken: TOKEN };
    expect(CreateSandbox.safeParse(request).success).toBe(true);
    expect(JSON.stringify(request).length).toBeGreaterThan(0.95 * MAX_BROKER_REQUEST_BYTES);
    expect(JSON.stringify(request).length).toBeLessThanOrEqual(MAX_BROKER_REQUEST_BYTES);
    const runner = startRunnerProcess({
      url: server.url,
      ...sandbox,
      env: { VALET_GENERATION: undefined, VALET_STARTED_AHEAD: "1" },
      input: null,
    });
    runner.write({ token: TOKEN, restartCount: 0, env });
    expect(await server.hello(0)).toMatchObject({ generation: 7 });
    runner.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });

  test("ends with its host, whose end is that of its input", async () => {
    const { exited } = startRunnerProcess({
      url: NOBODY,
      ...folders(),
      env: { VALET_STARTED_AHEAD: "1" },
      input: "",
    });
    expect(await exited).toBe(78);
  });
});

test("a runner without a link stops on SIGTERM", async () => {
  const sandbox = folders();
  const runner = startRunnerProcess({ url: NOBODY, ...sandbox });
  await vi.waitFor(() => expect(existsSync(join(sandbox.home, ".valet-runner/journal.sqlite"))).toBe(true), 20_000);
  runner.kill("SIGTERM");
  expect(await runner.exited).toBe(0);
});

describe("a host and its guardian", () => {
  test("that both die end a runner that waits for a link, and the sandbox's background processes", async () => {
    const sandbox = folders();
    const mark = `VALET_SANDBOX_ID=${sandbox.sandboxId}`;
    const env = { PATH: process.env.PATH, VALET_SANDBOX_ID: sandbox.sandboxId };
    const leftover = spawn("/bin/sh", ["-c", "sleep 300 & sleep 300"], { env, detached: true, stdio: "ignore" });
    const runner = startRunnerProcess({ url: NOBODY, ...sandbox, hasLifeline: true });
    await vi.waitFor(() => expect(processesOf(mark).length).toBeGreaterThanOrEqual(3), 20_000);
    await vi.waitFor(() => expect(existsSync(join(sandbox.home, ".valet-runner/journal.sqlite"))).toBe(true), 20_000);
    runner.endHost();
    await runner.exited;
    expect(processesOf(mark)).toEqual([]);
    expect(leftover.pid).toBeDefined();
  });

  test("that live do not end the runner", async () => {
    const sandbox = folders();
    const server = startLinkServer();
    const runner = startRunnerProcess({ url: server.url, ...sandbox, hasLifeline: true });
    await server.hello(0);
    runner.kill("SIGTERM");
    expect(await runner.exited).toBe(0);
  });
});

/** Returns whether a process already catches SIGTERM (`SigCgt` in proc_pid_status(5), signal n is bit n - 1). */
function catchesSigterm(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${caught}`) >> 14n) & 1n) === 1n;
}

describe("a signal while the runner is loading or waits for its input", () => {
  test("ends it like a later signal", async () => {
    for (let round = 0; round < 5; round++) {
      const runner = startRunnerProcess({ url: NOBODY, ...folders(), input: null });
      await vi.waitFor(() => expect(catchesSigterm(runner.pid)).toBe(true), { timeout: 20_000, interval: 1 });
      runner.kill("SIGTERM");
      expect(await runner.exited).toBe(0);
      expect(await runner.log).toBe("");
    }
  });

  test("is caught before any module of the runner is loaded", () => {
    // Static imports of an entrypoint are evaluated before its own first line.
    const imports = (file: string) =>
      readFileSync(join(import.meta.dirname, file), "utf8").match(/^import .* from .*/gm);
    expect(imports("bin.ts")).toEqual(['import { stopRequested } from "./stop-signals.ts";']);
    expect(imports("stop-signals.ts")).toBeNull();
  });
});

test("the next runner reports the turn of a killed runner", { timeout: 60_000 }, async () => {
  const model = await startScriptedModel({ scenario: await loadShippedScenario("long-tool") });
  onTestFinished(() => model.close());
  const sandbox = folders();
  const mark = `VALET_SANDBOX_ID=${sandbox.sandboxId}`;
  const repository = makeRepository(temporaryFolder());
  const greeting: ToRunner[] = [
    config({
      modelAccess: {
        model: "valet/scripted",
        openAiCompatible: { baseUrl: model.url, apiKey: "key" },
        providerKeys: {},
      },
    }),
    { type: "repo-config", repoUrl: repository.url },
  ];
  const first = startLinkServer({ greeting, acknowledges: false });
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
  const killed = startRunnerProcess({
    url: first.url,
    ...sandbox,
    env: { TRACEPARENT: traceparent, BAGGAGE: "user=a" },
  });
  await first.frame("stage", ({ stage }) => stage === "ready");
  expect(readFileSync(join(sandbox.workspace, "file.txt"), "utf8")).toBe("second");

  const prompt = { content: "Take your time.", traceparent: traceparent.replace("b7ad", "c7ad") };
  first.send({ type: "prompt", dispatch: dispatch("att_1", prompt) });
  await first.frame("part", ({ part }) => part.type === "tool" && part.status === "running");
  const processes = processesOf(mark);
  expect(processes.some(({ commandLine }) => commandLine.includes("opencode"))).toBe(true);
  for (const { pid, commandLine, environment } of processes) {
    expect(commandLine + environment).not.toContain(TOKEN);
    if (pid !== killed.pid) expect(environment).not.toMatch(/BAGGAGE|VALET_RUNNER_URL/);
    // Only the command of the tool call has a context: its own.
    const [, traceId, spanId] = /TRACEPARENT=00-(\w{32})-(\w{16})-03/.exec(environment) ?? [];
    if (traceId === undefined || pid === killed.pid) continue;
    expect([traceId, commandLine]).toEqual([traceparent.split("-")[1], expect.stringContaining("sleep")]);
    expect(traceparent).not.toContain(spanId);
  }
  killed.kill("SIGKILL");
  expect(await killed.exited).toBe("SIGKILL");
  endAll(sandbox.sandboxId);

  const second = startLinkServer({ greeting });
  // As the supervisor of a container writes it.
  const cause = "sandbox_out_of_memory";
  const input = `${JSON.stringify({ token: TOKEN, restartCount: 1, restartCause: cause })}\n`;
  const runner = startRunnerProcess({ url: second.url, ...sandbox, input });
  expect(await second.frame("turn-ended")).toMatchObject({ attemptId: "att_1", errorType: "runner_lost", cause });
  await second.frame("stage", ({ stage }) => stage === "ready");
  const [hello] = framesOf(second.received, "hello");
  expect(hello?.attempts).toEqual(["att_1"]);
  const left = framesOf(second.received, "spans").filter(({ instanceId }) => instanceId !== hello?.instanceId);
  // All ended spans, including those not sent yet.
  expect(spansOf(left).map(({ name }) => name)).toEqual(
    expect.arrayContaining(["valet.runner.bootstrap", "valet.runner.git_clone"]),
  );
  const sent = spansOf(first.received).map(({ spanId }) => spanId);
  expect(spansOf(left).map(({ spanId }) => spanId)).toEqual(expect.arrayContaining(sent));
  const lost = spansOf(second.received).find(({ name }) => name === "valet.turn");
  expect(lost).toMatchObject({
    parentSpanId: "c7ad6b7169203331",
    attributes: { "valet.outcome": "lost", "valet.error.cause": cause },
  });

  runner.kill("SIGTERM");
  expect(await runner.exited).toBe(0);
  expect(await runner.log).toBe("");
  expect(processesOf(mark)).toEqual([]);
});
