/** Tests the warm-up with the real OpenCode: what it leaves behind, what ends it, and that no provider gets a request. warm-up.test.ts has its ends. */
import { Database } from "bun:sqlite";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseScenario } from "@valet/scripted-model";
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import { attributesToObject, INVALID_CONTEXT, type ReadableSpan } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { dispatchOf, MODEL, RealAgent, type RealAgentOptions } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { OpenCodeAgent } from "./agent.ts";
import { newWarmUpMessageId } from "./ids.ts";

const usage = { usage: { input: 100, output: 10 } };
const scenario = parseScenario(
  JSON.stringify({ name: "warm-up", rules: [{ name: "any", reply: [{ text: "Here I am." }, usage] }] }),
  "warm-up.real.test.ts",
);
const WAIT = { timeout: 60_000, interval: 20 };

async function setUp(options: Pick<RealAgentOptions, "prepare" | "change"> = {}, real = new RealAgent()) {
  onTestFinished(() => real.stop());
  const asked: unknown[] = [];
  const providerCalls: ProviderCall[] = [];
  await real.start({
    scenario,
    tools: {
      answer: async () => ({ ok: false, error: "There are no sessions here." }),
      onProviderCall: (call) => providerCalls.push(call),
      permitModelCall: async (call) => {
        asked.push(call);
        return {};
      },
    },
    ...options,
  });
  const { opencode, tracer, workspace } = real;
  const runner = new JobRunner({
    agent: new OpenCodeAgent(opencode),
    tracer,
    captureContent: true,
    defaultModel: MODEL,
    stuckTurnMs: 60_000,
    workspace,
    env: process.env,
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onAsked: () => {},
    onWorking: () => {},
  });
  const request = async (method: string, path: string, body?: unknown) => {
    // The address does not change during OpenCode's lifetime, and requesting it here would end the warm-up.
    const { url, headers } = client;
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...headers, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return response.json() as never;
  };
  const client = real.client;
  const sessions = async () => ((await request("GET", "/session")) as { title: string }[]).map(({ title }) => title);
  const warmUps = () => warmUpsOf(real);
  const endOf = (index: number) =>
    vi.waitFor(() => {
      const span = warmUps()[index];
      if (span?.endTime === undefined) throw new Error("the warm-up has not ended");
      return wayOf(span);
    }, WAIT);
  const requests = () => real.model.requests().filter(({ method }) => method === "POST").length;
  return { real, runner, request, sessions, warmUps, endOf, requests, asked, providerCalls };
}

function warmUpsOf(real: RealAgent): ReadableSpan[] {
  return real.spans.filter(({ name }) => name === "valet.runner.agent_warm_up");
}

function wayOf(span: ReadableSpan) {
  const { "valet.warm_up.scope": scope, ...rest } = attributesToObject([...span.attributes]);
  return [scope, ...Object.values(rest)].join(" ");
}

/** Returns the number of rows in all tables of OpenCode's history. */
function historyRows(home: string): number {
  const db = new Database(join(home, ".local/share/opencode/opencode.db"), { readonly: true });
  const counts = ["session", "message", "part"].map((table) => db.query(`SELECT COUNT(*) AS n FROM ${table}`).get());
  db.close();
  return counts.reduce<number>((sum, row) => sum + (row as { n: number }).n, 0);
}

/** Excludes the file in which OpenCode stores the project's id whenever it opens a folder. */
function filesOf(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return files.filter((name) => name !== ".git/opencode").sort();
}

/** Starts OpenCode before its repository is ready, and says that it is once the first warm-up is so far. */
async function setUpEarly(isFar: (warmUp: ReadableSpan | undefined) => boolean) {
  const workspaceReady = Promise.withResolvers<void>();
  const real = new RealAgent();
  let before: string[] = [];
  const isSetUp = setUp(
    {
      prepare: (workspace) => {
        mkdirSync(join(workspace, ".opencode/command"), { recursive: true });
        writeFileSync(join(workspace, ".opencode/command/greet.md"), "Say hello.");
      },
      change: ({ workspace }) => {
        before = filesOf(workspace);
        return { workspaceReady: workspaceReady.promise };
      },
    },
    real,
  );
  await vi.waitFor(() => expect(isFar(warmUpsOf(real)[0])).toBe(true), WAIT);
  workspaceReady.resolve();
  return { before, ...(await isSetUp) };
}

test("prepares the process while the repository is set up, then the workspace, and leaves no session, file, request, model or span behind", async () => {
  const { before, real, runner, request, sessions, warmUps, endOf, requests, asked, providerCalls } = await setUpEarly(
    (warmUp) => warmUp?.endTime !== undefined,
  );
  expect([await endOf(0), await endOf(1)]).toEqual(["process ok", "workspace ok"]);
  await vi.waitFor(async () => expect(await sessions()).toEqual([]), WAIT);
  expect(historyRows(real.home)).toBe(0);
  expect(filesOf(real.workspace)).toEqual(before);
  expect(execFileSync("git", ["status", "--porcelain"], { cwd: real.workspace, encoding: "utf8" })).toBe("");
  expect([requests(), asked, providerCalls]).toEqual([0, [], []]);
  const { providers } = (await request("GET", "/config/providers")) as { providers: { id: string; models: object }[] };
  expect(providers.map(({ id, models }) => [id, Object.keys(models)])).toEqual([["valet", ["scripted-1"]]]);
  expect(((await request("GET", "/command")) as { name: string }[]).map(({ name }) => name)).toContain("greet");

  const [start] = real.spans.filter(({ name }) => name === "valet.runner.opencode_start");
  const parent = start?.context.spanId;
  expect(warmUps().map((span) => span.parent?.spanId)).toEqual([parent, parent]);
  const turn = dispatchOf("Are you there?");
  const { opencodeSessionId, ...result } = await runner.run(turn).done;
  expect(result).toMatchObject({ outcome: "ok", summary: { modelCalls: 1, tokens: { input: 100, output: 10 } } });
  // The plugin works for the workspace, since it has sent the runner a request about the call.
  expect([requests(), asked.length]).toEqual([1, 1]);
  expect(warmUps()).toHaveLength(2);
  expect(real.spans.filter(({ name }) => name.startsWith("chat "))).toHaveLength(1);
  const history = (await request("GET", `/session/${opencodeSessionId}/message`)) as unknown[];
  expect(history).toHaveLength(2);
}, 120_000);

test("of the process ends when the repository is ready, and that of the workspace follows", async () => {
  const { runner, request, endOf, requests, asked, sessions } = await setUpEarly((warmUp) => warmUp !== undefined);
  expect([await endOf(0), await endOf(1)]).toEqual(["process skipped agent_needed", "workspace ok"]);
  expect(((await request("GET", "/command")) as { name: string }[]).map(({ name }) => name)).toContain("greet");
  expect(requests()).toBe(0);
  expect(await sessions()).toEqual([]);
  expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
  expect([requests(), asked.length]).toEqual([1, 1]);
}, 120_000);

test("ends when a message arrives, which is the only one answered; that of a later start deletes leftover sessions", async () => {
  const { real, runner, request, sessions, endOf, warmUps, requests } = await setUp();
  expect(warmUps().map(({ endTime }) => endTime)).toEqual([undefined]);
  const { done } = runner.run(dispatchOf("Are you there?"));
  expect(await endOf(0)).toBe("workspace skipped agent_needed");
  expect(await done).toMatchObject({ outcome: "ok", parts: [{ text: "Here I am." }], summary: { modelCalls: 1 } });
  expect(requests()).toBe(1);
  await vi.waitFor(async () => expect(await sessions()).toHaveLength(1), WAIT);
  expect(await sessions()).not.toContain("Valet warm-up");

  const [left, kept] = (await Promise.all(
    ["Valet warm-up", "Valet warm-up, they said"].map((title) => request("POST", "/session", { title })),
  )) as { id: string }[];
  const died = Promise.withResolvers<void>();
  onTestFinished(
    real.opencode.subscribe({ onEvent: () => {}, onReconnected: () => {}, onDeath: () => died.resolve() }),
  );
  process.kill(pidOfOpenCode(), "SIGKILL");
  await died.promise;
  real.opencode.restart(INVALID_CONTEXT);
  expect(await endOf(1)).toBe("workspace ok");
  const agent = new OpenCodeAgent(real.opencode);
  const parent = real.tracer.startSpan("valet.runner.bootstrap");
  const isNew = async (sessionId = "") => (await agent.open({ parent, sessionId })).isNew;
  expect([await isNew(left?.id), await isNew(kept?.id)]).toEqual([true, false]);
  expect(requests()).toBe(1);
}, 120_000);

test("fails where OpenCode does not know the model. A warm-up's prompt is answered in the protocol of its model's provider, which gets no request", async () => {
  const providerKeys = { ANTHROPIC_API_KEY: "key", OPENAI_API_KEY: "key", GOOGLE_GENERATIVE_AI_API_KEY: "key" };
  const { request, endOf, requests, sessions, runner } = await setUp({
    change: ({ modelAccess: { openAiCompatible } }) => ({
      modelAccess: {
        model: "nobody/knows",
        providerKeys,
        ...(openAiCompatible && { openAiCompatible: { ...openAiCompatible, models: [MODEL] } }),
      },
    }),
  });
  expect(await endOf(0)).toBe("workspace error agent_warm_up_failed");
  await vi.waitFor(async () => expect(await sessions()).toEqual([]), WAIT);
  for (const model of [MODEL, "anthropic/claude-sonnet-4-5", "openai/gpt-5", "google/gemini-2.5-flash"]) {
    const { id } = (await request("POST", "/session", {})) as { id: string };
    const [providerID, modelID] = model.split("/");
    const answer = await request("POST", `/session/${id}/message`, {
      messageID: newWarmUpMessageId(),
      model: { providerID, modelID },
      parts: [{ type: "text", text: "Hello" }],
    });
    expect(answer, model).toMatchObject({ info: { finish: "stop", cost: 0, tokens: { input: 0, output: 0 } } });
    expect(answer, model).toMatchObject({
      parts: [{ type: "step-start" }, { text: "Ready." }, { type: "step-finish" }],
    });
  }
  expect(requests()).toBe(0);
  expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
  expect(requests()).toBe(1);
}, 120_000);

test("sends no request to a provider if a trusted repository's plugin has replaced Valet's", async () => {
  const { real, endOf, requests, runner } = await setUp({
    prepare: (workspace) => {
      mkdirSync(join(workspace, ".opencode/plugin"), { recursive: true });
      const plugin = "globalThis.fetch = Bun.fetch;\nexport const Replacing = async () => ({});\n";
      writeFileSync(join(workspace, ".opencode/plugin/replacing.js"), plugin);
    },
    change: () => ({ trustsRepository: true }),
  });
  expect(await endOf(0)).toMatch(/^workspace /);
  expect(requests()).toBe(0);
  expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
  expect(real.model.requests().filter(({ headers }) => headers["x-valet-warm-up"] !== undefined)).toEqual([]);
}, 120_000);

function openCodes(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const isServer = readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("opencode.exe\0serve");
        return isServer && readFileSync(`/proc/${pid}/status`, "utf8").includes(`PPid:\t${process.pid}\n`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function pidOfOpenCode(): number {
  const [pid] = openCodes();
  if (pid === undefined) throw new Error("there is no OpenCode");
  return pid;
}
