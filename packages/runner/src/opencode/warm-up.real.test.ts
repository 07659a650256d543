/** Tests the warm-up with the real OpenCode: what it leaves behind, what cancels it, and that no provider gets a request. */
import { Database } from "bun:sqlite";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseScenario } from "@valet/scripted-model";
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import { attributesToObject, INVALID_CONTEXT, type ReadableSpan } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
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
    stuckTurnMs: 20_000,
    workspace,
    env: process.env,
    onPart: () => {},
    onStep: () => {},
    onAsked: () => {},
    onWorking: () => {},
  });
  const request = async (method: string, path: string, body?: unknown) => {
    // The address does not change during OpenCode's lifetime, and requesting it here would cancel the warm-up.
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

test("runs before the first message, and leaves no session, file, request, model or span behind", async () => {
  let before: string[] = [];
  const { real, runner, request, sessions, warmUps, endOf, requests, asked, providerCalls } = await setUp({
    change: ({ workspace }) => {
      before = filesOf(workspace);
      return {};
    },
  });
  expect(await endOf(0)).toBe("workspace ok");
  await vi.waitFor(async () => expect(await sessions()).toEqual([]), WAIT);
  expect(historyRows(real.home)).toBe(0);
  expect(filesOf(real.workspace)).toEqual(before);
  expect(execFileSync("git", ["status", "--porcelain"], { cwd: real.workspace, encoding: "utf8" })).toBe("");
  expect([requests(), asked, providerCalls]).toEqual([0, [], []]);
  const { providers } = (await request("GET", "/config/providers")) as { providers: { id: string; models: object }[] };
  expect(providers.map(({ id, models }) => [id, Object.keys(models)])).toEqual([["valet", ["scripted-1"]]]);

  const [start] = real.spans.filter(({ name }) => name === "valet.runner.opencode_start");
  expect(warmUps().map(({ parent }) => parent?.spanId)).toEqual([start?.context.spanId]);
  const turn = dispatchOf("Are you there?");
  const { opencodeSessionId, ...result } = await runner.run(turn).done;
  expect(result).toMatchObject({ outcome: "ok", summary: { modelCalls: 1, tokens: { input: 100, output: 10 } } });
  expect(requests()).toBe(1);
  expect(warmUps()).toHaveLength(1);
  expect(real.spans.filter(({ name }) => name.startsWith("chat "))).toHaveLength(1);
  const history = (await request("GET", `/session/${opencodeSessionId}/message`)) as unknown[];
  expect(history).toHaveLength(2);
}, 120_000);

test("is cancelled by a message, which is the only one answered", async () => {
  const { runner, sessions, endOf, warmUps, requests } = await setUp();
  expect(warmUps().map(({ endTime }) => endTime)).toEqual([undefined]);
  const { done } = runner.run(dispatchOf("Are you there?"));
  expect(await endOf(0)).toBe("workspace skipped agent_needed");
  expect(await done).toMatchObject({ outcome: "ok", parts: [{ text: "Here I am." }], summary: { modelCalls: 1 } });
  expect(requests()).toBe(1);
  await vi.waitFor(async () => expect(await sessions()).toHaveLength(1), WAIT);
  expect(await sessions()).not.toContain("Valet warm-up");
}, 120_000);

test("ends when the runner stops, and holds nothing up", async () => {
  const { real, endOf, requests } = await setUp();
  await real.opencode.stop();
  expect(await endOf(0)).toBe("workspace aborted runner_shutdown");
  expect([openCodes(), requests()]).toEqual([[], 0]);
}, 120_000);

test("ends with OpenCode; the warm-up after a start that no work waits for deletes leftover sessions", async () => {
  const { real, runner, request, endOf, warmUps, requests } = await setUp();
  const die = async () => {
    const died = new Promise<void>((resolve) => {
      const listener = { onEvent: () => {}, onReconnected: () => {}, onDeath: () => resolve() };
      onTestFinished(real.opencode.subscribe(listener));
    });
    process.kill(pidOfOpenCode(), "SIGKILL");
    await died;
  };
  expect(await endOf(0)).toBe("workspace ok");
  const [left, kept] = (await Promise.all(
    ["Valet warm-up", "Valet warm-up, they said"].map((title) => request("POST", "/session", { title })),
  )) as { id: string }[];
  await die();
  real.opencode.restart(INVALID_CONTEXT);
  expect(await endOf(1)).toBe("workspace ok");
  const agent = new OpenCodeAgent(real.opencode);
  const parent = real.tracer.startSpan("valet.runner.bootstrap");
  const isNew = async (sessionId = "") => (await agent.open({ parent, sessionId })).isNew;
  expect([await isNew(left?.id), await isNew(kept?.id)]).toEqual([true, false]);

  await die();
  real.opencode.restart(INVALID_CONTEXT);
  await vi.waitFor(() => expect(warmUps()).toHaveLength(3), WAIT);
  await die();
  expect(await endOf(2)).toBe("workspace error opencode_died");
  // A start that work waits for has no warm-up.
  expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
  expect([requests(), warmUps().length]).toEqual([1, 3]);
}, 180_000);

test.each<[string, NonNullable<RealAgentOptions["change"]>]>([
  [
    "OpenCode has not loaded the plugin that answers it",
    ({ tools }) => ({
      ...(tools && { tools: { ...tools, plugin: pluginFile("export const Nothing = async () => ({});") } }),
    }),
  ],
  [
    "OpenCode does not know the model",
    ({ modelAccess }) => ({
      modelAccess: {
        ...modelAccess,
        model: "nobody/knows",
        ...(modelAccess.openAiCompatible && {
          openAiCompatible: { ...modelAccess.openAiCompatible, models: [MODEL] },
        }),
      },
    }),
  ],
])(
  "fails where %s: no provider is asked, and messages are answered",
  async (_what, change) => {
    const { runner, endOf, requests, sessions } = await setUp({ change });
    expect(await endOf(0)).toBe("workspace error agent_warm_up_failed");
    await vi.waitFor(async () => expect(await sessions()).toEqual([]), WAIT);
    expect(requests()).toBe(0);
    expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
    expect(requests()).toBe(1);
  },
  120_000,
);

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

test.each([
  ["is over", true],
  ["has begun", false],
])(
  "prepares the process while the repository is set up, then the workspace: the first %s",
  async (_what, isOver) => {
    const workspaceReady = Promise.withResolvers<void>();
    const real = new RealAgent();
    const isSetUp = setUp(
      {
        prepare: (workspace) => {
          mkdirSync(join(workspace, ".opencode/command"), { recursive: true });
          writeFileSync(join(workspace, ".opencode/command/greet.md"), "Say hello.");
        },
        change: () => ({ workspaceReady: workspaceReady.promise }),
      },
      real,
    );
    await vi.waitFor(() => {
      const [first] = warmUpsOf(real);
      expect(isOver ? first?.endTime : first?.startTime).toBeDefined();
    }, WAIT);
    workspaceReady.resolve();
    const { runner, request, endOf, requests, asked, sessions } = await isSetUp;
    expect([await endOf(0), await endOf(1)]).toEqual([
      isOver ? "process ok" : "process skipped agent_needed",
      "workspace ok",
    ]);
    expect(((await request("GET", "/command")) as { name: string }[]).map(({ name }) => name)).toContain("greet");
    expect(requests()).toBe(0);
    expect(await sessions()).toEqual([]);
    expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
    // The plugin works for the workspace, since it has sent the runner a request about the call.
    expect([requests(), asked.length]).toEqual([1, 1]);
  },
  120_000,
);

test("is answered in the protocol of the model's provider", async () => {
  const providerKeys = { ANTHROPIC_API_KEY: "key", OPENAI_API_KEY: "key", GOOGLE_GENERATIVE_AI_API_KEY: "key" };
  const { request, endOf, requests } = await setUp({
    change: ({ modelAccess }) => ({ modelAccess: { ...modelAccess, providerKeys } }),
  });
  await endOf(0);
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
}, 120_000);

/** Returns the entry of another plugin in OpenCode's configuration. */
function pluginFile(source: string): string {
  const path = join(temporaryFolder(), "plugin.js");
  writeFileSync(path, source);
  return pathToFileURL(path).href;
}

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
