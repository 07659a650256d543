/**
 * Tests the runner with the real OpenCode and a scripted model: its process, its event stream, turns with real tools in a real
 * repository. ../prompt.test.ts and its neighbours have the tests that need a certain order of events.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { parseScenario } from "@valet/scripted-model";
import type { ToolCall } from "@valet/shared/protocol/child-sessions";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { DEFAULT_PROVIDER_CONTEXT, type ProviderContext } from "@valet/shared/protocol/provider-context";
import {
  attributesToObject,
  contextHeaders,
  INVALID_CONTEXT,
  millisBetween,
  type ReadableSpan,
} from "@valet/shared/tracing";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { dispatchOf, MODEL, RealAgent } from "../../test/real-agent.ts";
import type { AgentAsks } from "../agent/agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { shellAnswer } from "../opencode-agent.ts";
import { callRef, OpenCodeAgent, permitOf } from "./agent.ts";
import { partsOfHistory } from "./answer-parts.ts";

const real = new RealAgent();
const { root, spans, tracer, workspace } = real;

const QUESTION = {
  question: "Which greeting?",
  header: "Greeting",
  options: [
    { label: "Hello", description: "The usual one" },
    { label: "Hi", description: "The short one" },
  ],
};
const title = { name: "title", when: { agent: "title" }, reply: [{ text: "A title" }] };
const scenario = parseScenario(
  JSON.stringify({
    name: "real",
    rules: [
      title,
      {
        name: "environment",
        when: { userContains: "environment" },
        turn: [
          [{ tool: "bash", arguments: { command: "env" } }, { usage: { input: 100, cached: 40, output: 20 } }],
          [{ text: "That is all." }, { usage: { input: 150, output: 5 } }],
        ],
      },
      {
        name: "delegate",
        when: { userContains: "sub-agent" },
        turn: [
          [
            {
              tool: "task",
              arguments: { description: "Count", prompt: "Count the files.", subagent_type: "general" },
            },
            { usage: { input: 10, output: 1 } },
          ],
          [{ text: "Counted." }, { usage: { input: 20, output: 2 } }],
        ],
      },
      {
        name: "count",
        when: { userContains: "Count the files" },
        turn: [
          [{ tool: "bash", arguments: { command: "ls" } }, { usage: { input: 100, output: 10 } }],
          [{ tool: "list_sessions" }, { usage: { input: 100, output: 10 } }],
          [{ text: "Three." }, { usage: { input: 200, output: 20 } }],
        ],
      },
      {
        name: "ask",
        when: { userContains: "Ask me" },
        turn: [
          [{ tool: "question", arguments: { questions: [QUESTION] } }, { usage: { input: 10, output: 1 } }],
          [{ text: "Noted." }, { usage: { input: 20, output: 2 } }],
        ],
      },
      {
        name: "spawn",
        when: { userContains: "another session" },
        turn: [
          [
            { tool: "spawn_session", arguments: { prompt: "Count.", title: "Counting", branch: "main" } },
            { usage: { input: 1, output: 1 } },
          ],
          [{ tool: "end_session", arguments: { session: "ses_gone" } }, { usage: { input: 1, output: 1 } }],
          [{ text: "It counts." }, { usage: { input: 1, output: 1 } }],
        ],
      },
      {
        name: "long",
        when: { userContains: "long" },
        reply: [{ tool: "bash", arguments: { command: "sleep 61.5" } }, { usage: { input: 1, output: 1 } }],
      },
      {
        name: "flood",
        when: { userContains: "flood" },
        turn: [
          [
            { tool: "bash", arguments: { command: "yes 'a line of output' | head -c 60000000" } },
            { usage: { input: 1, output: 1 } },
          ],
          [{ text: "Much." }, { usage: { input: 1, output: 1 } }],
        ],
      },
      { name: "short", reply: [{ text: "Here I am." }, { usage: { input: 1, output: 1 } }] },
    ],
  }),
  "real.test.ts",
);

let runner: JobRunner;
let carried = DEFAULT_PROVIDER_CONTEXT;
/** The requests of tools, and the turns to which the runner assigned them. */
const calls: { call: ToolCall; turn: ReturnType<JobRunner["findToolCall"]> }[] = [];

beforeAll(async () => {
  await real.start({
    scenario,
    tools: {
      answer: async (call) => {
        calls.push({ call, turn: runner.findToolCall(callRef(call)) });
        if (call.request.action === "end") return { ok: false, error: "There is no such session." };
        return { ok: true, sessions: [{ id: "ses_child", status: "running" }] };
      },
      permitModelCall: async (call) => permitOf(await runner.permitModelCall(callRef(call)), carried),
      shellOf: (shell) => shellAnswer(runner, shell),
    },
    env: {
      VALET_SESSION_ID: "ses_1",
      VALET_RUNNER_URL: "ws://canary-runner-url",
      VALET_RUNNER_TOKEN: "canary-runner-token",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=canary-otlp-key",
      TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      TRACESTATE: "canary=1",
      BAGGAGE: "user=canary",
    },
  });
  runner = new JobRunner({
    agent: new OpenCodeAgent(real.opencode),
    tracer,
    captureContent: false,
    defaultModel: MODEL,
    stuckTurnMs: 60_000,
    limits: { silenceMs: 2_000 },
    workspace,
    env: process.env,
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onAsked: (request) => asked.push(request),
    onWorking: () => {},
  });
}, 90_000);

afterAll(async () => {
  await real.stop();
});

/** Tracks connections to OpenCode's event stream, and prevents new ones while it is broken. */
const streams = new Set<AbortController>();
let isStreamBroken = false;
const plainFetch = globalThis.fetch;
vi.spyOn(globalThis, "fetch").mockImplementation(
  Object.assign(
    (input: string | URL | Request, init?: RequestInit) => {
      if (!String(input).endsWith("/event")) return plainFetch(input, init);
      if (isStreamBroken) return Promise.reject(new TypeError("the stream is broken"));
      const stream = new AbortController();
      streams.add(stream);
      const signals = [stream.signal, ...(init?.signal ? [init.signal] : [])];
      return plainFetch(input, { ...init, signal: AbortSignal.any(signals) });
    },
    { preconnect: plainFetch.preconnect },
  ),
);

/** Returns the answers in OpenCode's history of a session that has had one turn. */
async function storedParts({ attemptId }: { attemptId: string }, sessionId = ""): Promise<MessagePart[]> {
  const client = await real.opencode.ready(tracer.startSpan("valet.runner.bootstrap"));
  const history = await client.messages(sessionId, INVALID_CONTEXT, { expected: 100, isFirst: () => true });
  return partsOfHistory(attemptId, history, () => true);
}

function breakEventStream(): { mend(): void } {
  isStreamBroken = true;
  for (const stream of streams) stream.abort();
  streams.clear();
  return {
    mend: () => {
      isStreamBroken = false;
    },
  };
}

const asked: AgentAsks[] = [];

/** Returns the spans of a turn, indented, after checking that each ended within its parent and has a duration. */
function treeOf(attemptId: string): string {
  const isTurn = (span: ReadableSpan) =>
    attributesToObject([...span.attributes])["valet.dispatch.attempt_id"] === attemptId;
  const lines: string[] = [];
  const draw = (span: ReadableSpan, indent: string) => {
    const { endTime } = span;
    if (endTime === undefined) throw new Error(`${span.name} is open`);
    const attributes = attributesToObject([...span.attributes]);
    const { "valet.outcome": outcome, "error.type": failure, "valet.outcome.reason": reason } = attributes;
    const errorType = failure ?? reason ?? "";
    lines.push(`${indent}${span.name} ${outcome} ${errorType}`.trimEnd());
    expect(millisBetween(span.startTime, endTime), span.name).toBeGreaterThan(0);
    const children = spans.filter(({ parent }) => parent?.spanId === span.context.spanId);
    for (const child of children.toSorted((a, b) => millisBetween(b.startTime, a.startTime))) {
      expect(millisBetween(span.startTime, child.startTime), child.name).toBeGreaterThanOrEqual(0);
      expect(millisBetween(child.endTime ?? span.startTime, endTime), child.name).toBeGreaterThanOrEqual(0);
      draw(child, `${indent}  `);
    }
  };
  for (const span of spans.filter(isTurn)) draw(span, "");
  return `\n${lines.join("\n")}`;
}

/** Returns the processes whose command line contains a text. */
function processes(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").includes(text);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Returns those of them that work in this test's workspace: the same tests may run twice on one machine. */
function toolProcesses(text: string): number[] {
  return processes(text).filter((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/cwd`) === workspace;
    } catch {
      return false;
    }
  });
}

/** Returns OpenCode's process, a child of this one. */
function pidOfOpenCode(): number {
  const own = processes("opencode.exe serve").filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/status`, "utf8").includes(`PPid:\t${process.pid}\n`);
    } catch {
      // It has ended meanwhile: it is another test's.
      return false;
    }
  });
  expect(own).toHaveLength(1);
  return own[0] as number;
}

test("two channels and a sub-agent run concurrently; the tools' environment contains nothing internal", async () => {
  const traceparent = `00-${"c".repeat(32)}-${"d".repeat(16)}-03`;
  const traced = { traceparent, tracestate: "vendor=1" };
  const [first, second] = [dispatchOf("Show the environment.", traced), dispatchOf("Let a sub-agent count.")];
  const [environment, delegated] = await Promise.all([runner.run(first).done, runner.run(second).done]);
  expect(environment).toMatchObject({
    outcome: "ok",
    summary: { modelCalls: 2, toolCalls: 1, tokens: { input: 250, output: 25, cacheRead: 40 } },
  });
  expect(environment.summary.costUsd).toBeCloseTo((60 + 40 * 0.5 + 20 * 2 + 150 + 5 * 2) / 1e6, 12);
  const [tool, text] = environment.parts;
  expect(text).toMatchObject({ type: "text", text: "That is all." });
  const shown = tool?.type === "tool" ? (tool.output ?? "") : "";
  expect(shown).toContain("VALET_SESSION_ID=ses_1");
  for (const secret of ["canary", "OTEL_", "BAGGAGE", "VALET_TOOLS"]) expect(shown).not.toContain(secret);
  const bash = spans.find(({ name, context }) => name === "execute_tool bash" && context.traceId === "c".repeat(32));
  expect(
    shown
      .split("\n")
      .filter((line) => line.startsWith("TRACE"))
      .sort(),
  ).toEqual([`TRACEPARENT=00-${"c".repeat(32)}-${bash?.context.spanId}-03`, "TRACESTATE=vendor=1"]);
  expect(treeOf(first.attemptId)).toBe(`
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool bash ok
    chat scripted-1 ok
  valet.turn.finalize ok`);

  expect(delegated).toMatchObject({
    outcome: "ok",
    summary: { modelCalls: 5, toolCalls: 3, tokens: { input: 430, output: 43 } },
  });
  expect(delegated.parts.map((part) => (part.type === "tool" ? part.tool : part.type))).toEqual(["task", "text"]);
  expect(treeOf(second.attemptId)).toBe(`
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool task ok
      invoke_agent general ok
        valet.agent.prepare ok
        chat scripted-1 ok
        execute_tool bash ok
        chat scripted-1 ok
        execute_tool list_sessions ok
        chat scripted-1 ok
    chat scripted-1 ok
  valet.turn.finalize ok`);
  // The answers are what the events told, which is what the history has.
  expect(environment.parts).toEqual(await storedParts(first, environment.opencodeSessionId));
  expect(delegated.parts).toEqual(await storedParts(second, delegated.opencodeSessionId));
  // A sub-agent's tool sends requests, too. Its call is identified by its span.
  expect(calls.map(({ call, turn }) => [call.request.action, turn?.attemptId])).toEqual([["list", second.attemptId]]);
  expect(calls[0]?.turn?.context).toMatchObject(contextOf("execute_tool list_sessions"));
}, 90_000);

/** How often the plugin reports bytes of a call, at most. */
const BYTES_MS = 1_000;

test("each request to the provider has the context of its call, also those of a sub-agent; hooks cost four requests a call and one a shell", async () => {
  const before = [real.model.requests().length, spans.length, real.heard.length] as const;
  const startMs = performance.now();
  await runner.run(dispatchOf("Let a sub-agent count.")).done;
  const lengthMs = performance.now() - startMs;
  const chats = spans.slice(before[1]).filter(({ name }) => name.startsWith("chat "));
  expect(chats).toHaveLength(5);
  const sent = real.model.requests().slice(before[0]);
  expect(sent.map(({ headers }) => headers.traceparent)).toEqual(
    chats.map(({ context }) => contextHeaders(context).traceparent),
  );
  const heard = () => {
    const counts = Map.groupBy(real.heard.slice(before[2]), (about) => about);
    return Object.fromEntries(Array.from(counts, ([about, all]) => [about, all.length]));
  };
  // Nobody waits for the last report.
  await vi.waitFor(() => expect(heard().providerCall).toBe(2 * chats.length), 20_000);
  const { providerBytes = 0, ...others } = heard();
  // Of its three tool calls one is a shell, and another asks the session itself.
  const each = { modelCall: chats.length, modelRequest: chats.length, providerCall: 2 * chats.length };
  expect(others).toEqual({ ...each, shell: 1, tool: 1 });
  expect(providerBytes).toBeLessThanOrEqual((chats.length * lengthMs) / BYTES_MS);
}, 90_000);

test("a deployment says whether calls carry a traceparent, and to which hosts a tracestate", async () => {
  const traced = { traceparent: `00-${"e".repeat(32)}-${"d".repeat(16)}-03`, tracestate: "vendor=1" };
  const sent = async (how: ProviderContext) => {
    carried = how;
    const before = real.model.requests().length;
    // Two channels at once.
    const says = ["Say one thing.", "Say another."].map((content) => runner.run(dispatchOf(content, traced)).done);
    await Promise.all(says);
    return real.model
      .requests()
      .slice(before)
      .map(({ headers }) => headers);
  };
  try {
    const { host } = new URL(real.model.url);
    const listed = await sent({ traceparent: true, tracestateHosts: [host] });
    const chats = spans.filter(({ name, context }) => name.startsWith("chat ") && context.traceId === "e".repeat(32));
    expect(listed.map(({ traceparent }) => traceparent).sort()).toEqual(
      chats.map(({ context }) => contextHeaders(context).traceparent).sort(),
    );
    expect(listed.map(({ tracestate, baggage }) => [tracestate, baggage])).toEqual([
      ["vendor=1", undefined],
      ["vendor=1", undefined],
    ]);
    const others = await sent({ traceparent: true, tracestateHosts: ["gateway.example.com"] });
    expect(others.map(({ traceparent, tracestate }) => [typeof traceparent, tracestate])).toEqual([
      ["string", undefined],
      ["string", undefined],
    ]);
    const off = await sent({ traceparent: false, tracestateHosts: [host] });
    expect(off.map(({ traceparent, tracestate }) => [traceparent, tracestate])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ]);
  } finally {
    carried = DEFAULT_PROVIDER_CONTEXT;
  }
}, 90_000);

/** Returns the context of the only span of this name. */
function contextOf(name: string) {
  const found = spans.filter((span) => span.name === name);
  expect(found).toHaveLength(1);
  const { traceId, spanId } = (found[0] as ReadableSpan).context;
  return { traceId, spanId };
}

test("the agent's tools send requests to the runner, each with its call's span, and receive a refusal", async () => {
  calls.length = 0;
  const spawn = dispatchOf("Let another session count.");
  const { parts } = await runner.run(spawn).done;
  expect(parts).toMatchObject([
    { type: "tool", tool: "spawn_session", status: "completed", output: expect.stringContaining("ses_child") },
    { type: "tool", tool: "end_session", status: "error", output: expect.stringContaining("no such session") },
    { type: "text", text: "It counts." },
  ]);
  expect(calls.map(({ call }) => call.request)).toEqual([
    { action: "spawn", prompt: "Count.", title: "Counting", branch: "main" },
    { action: "end", session: "ses_gone" },
  ]);
  for (const [index, name] of ["execute_tool spawn_session", "execute_tool end_session"].entries()) {
    expect(calls[index]?.turn).toMatchObject({ attemptId: spawn.attemptId, context: contextOf(name) });
  }
  expect(treeOf(spawn.attemptId)).toBe(`
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool spawn_session ok
    chat scripted-1 ok
    execute_tool end_session error tool_failed
    chat scripted-1 ok
  valet.turn.finalize ok`);
  // An ended turn is not found any more.
  expect(runner.findToolCall(callRef(calls[0]?.call as ToolCall))).toBeUndefined();
}, 90_000);

test.each([
  ["answers", [["Hi"]], "ok", ["execute_tool question ok", "  valet.question.wait ok", "chat scripted-1 ok"]],
  [
    "declines to answer",
    null,
    "error permission_denied",
    ["execute_tool question error permission_denied", "  valet.question.wait ok"],
  ],
])(
  "the agent asks a person, who %s",
  async (_what, answers, ending, spansAfter) => {
    const question = dispatchOf("Ask me something.");
    const { done } = runner.run(question);
    const { questionId, questions } = await vi.waitFor(() => {
      const request = asked.find(({ attemptId }) => attemptId === question.attemptId);
      if (request?.type !== "question-asked") throw new Error("nothing was asked");
      return request;
    }, 20_000);
    expect(questions).toEqual([QUESTION]);
    await runner.reply({ type: "question-reply", questionId, answers });
    const { parts } = await done;
    const [tool, ...others] = parts;
    expect(tool?.type === "tool" && tool.output?.includes('="Hi"')).toBe(answers !== null);
    expect(others).toMatchObject(answers === null ? [] : [{ text: "Noted." }]);
    expect(treeOf(question.attemptId)).toBe(`
valet.turn ${ending}
  invoke_agent build ${ending}
    valet.agent.prepare ok
    chat scripted-1 ok
    ${spansAfter.join("\n    ")}
  valet.turn.finalize ok`);
  },
  60_000,
);

test("a question during a break of the event stream is forwarded, and one that was answered in it is closed", async () => {
  const question = dispatchOf("Ask me something, late.");
  const breaking = breakEventStream();
  const { done } = runner.run(question);
  // OpenCode lists the question once it has asked it.
  const client = await real.opencode.ready(tracer.startSpan("valet.runner.bootstrap"));
  const pending = () => client.pending(tracer.startSpan("valet.runner.bootstrap").context);
  await vi.waitFor(async () => expect(await pending()).toHaveLength(1), 20_000);
  const isAsked = () => asked.some(({ attemptId }) => attemptId === question.attemptId);
  expect(isAsked()).toBe(false);
  breaking.mend();
  await vi.waitFor(() => expect(isAsked()).toBe(true), 20_000);
  const again = breakEventStream();
  const [request] = await pending();
  await client.replyQuestion(request?.properties.id ?? "", [["Hi"]]);
  await vi.waitFor(async () => expect(await pending()).toEqual([]), 20_000);
  again.mend();
  expect(await done).toMatchObject({ outcome: "ok" });
  expect(treeOf(question.attemptId)).toBe(`
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool question ok
      valet.question.wait ok
    chat scripted-1 ok
  valet.turn.finalize ok`);
}, 90_000);

test("questions that are declined during a break of the event stream end the turn like a rejection", async () => {
  const question = dispatchOf("Ask me something, and take a no.");
  const { done } = runner.run(question);
  const client = await real.opencode.ready(tracer.startSpan("valet.runner.bootstrap"));
  await vi.waitFor(() => expect(asked.some(({ attemptId }) => attemptId === question.attemptId)).toBe(true), 20_000);
  const breaking = breakEventStream();
  const [request] = await client.pending(tracer.startSpan("valet.runner.bootstrap").context);
  await client.replyQuestion(request?.properties.id ?? "", null);
  breaking.mend();
  expect(await done).toMatchObject({ outcome: "error", errorType: "permission_denied" });
}, 90_000);

test("after an abort the next message uses the same OpenCode session, and an unknown model fails over", async () => {
  const long = dispatchOf("Something long.");
  const { done } = runner.run(long);
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).not.toEqual([]), 20_000);
  await runner.abort(long.attemptId, "user_abort");
  const aborted = await done;
  expect(aborted).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).toEqual([]), 20_000);
  expect(treeOf(long.attemptId)).toBe(`
valet.turn aborted user_abort
  invoke_agent build aborted user_abort
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool bash aborted user_abort
  valet.turn.finalize ok`);

  const { opencodeSessionId } = aborted;
  const next = dispatchOf("And now?", { opencodeSessionId, model: "valet/unknown" });
  expect(await runner.run(next).done).toMatchObject({ outcome: "ok", opencodeSessionId });
  expect(treeOf(next.attemptId)).toBe(`
valet.turn ok
  invoke_agent build error provider_not_found
    valet.agent.prepare error provider_not_found
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
  valet.turn.finalize ok`);
}, 90_000);

test("a turn reads no history, or only its own part of a long one if its stream breaks", async () => {
  const first = await runner.run(dispatchOf("Say something short.", { channel: "old" })).done;
  const sessionId = first.opencodeSessionId ?? "";
  const client = await real.opencode.ready(tracer.startSpan("valet.runner.bootstrap"));
  const path = `/session/${sessionId}/message`;
  const said = JSON.stringify({
    noReply: true,
    parts: [{ type: "text", text: "What was said long ago." }],
  });
  // More than a turn may ask for at once.
  for (let message = 0; message < 30; message++) {
    const headers = { ...client.headers, "content-type": "application/json" };
    expect((await plainFetch(`${client.url}${path}`, { method: "POST", headers, body: said })).status).toBe(200);
  }
  /** The limit of each request for the history; 0 for none. */
  const asksForHistory = () =>
    vi.mocked(fetch).mock.calls.flatMap(([input]) => {
      const { pathname, searchParams } = new URL(String(input));
      return pathname === path ? Number(searchParams.get("limit")) : [];
    });

  vi.mocked(fetch).mockClear();
  const again = await runner.run(dispatchOf("Show the environment.", { channel: "old", opencodeSessionId: sessionId }))
    .done;
  expect(again.parts.map(({ type }) => type)).toEqual(["tool", "text"]);
  expect(asksForHistory()).toEqual([]);

  vi.mocked(fetch).mockClear();
  const breaking = breakEventStream();
  const question = dispatchOf("Ask me something, in an old session.", { channel: "old", opencodeSessionId: sessionId });
  const { done } = runner.run(question);
  const pending = () => client.pending(tracer.startSpan("valet.runner.bootstrap").context);
  await vi.waitFor(async () => expect(await pending()).toHaveLength(1), 20_000);
  breaking.mend();
  await vi.waitFor(() => expect(asked.some(({ attemptId }) => attemptId === question.attemptId)).toBe(true), 20_000);
  const [request] = await pending();
  await runner.reply({ type: "question-reply", questionId: request?.properties.id ?? "", answers: [["Hi"]] });
  expect((await done).parts.map(({ type }) => type)).toEqual(["tool", "text"]);
  const limits = asksForHistory();
  // The events lost during the break, and the answer.
  expect(limits.length).toBeGreaterThanOrEqual(2);
  expect(Math.min(...limits)).toBeGreaterThan(0);
  expect(Math.max(...limits)).toBeLessThan(20);
}, 90_000);

test("a model that was requested by name is not replaced by another one", async () => {
  for (const model of ["valet/unknown", "nobody/knows"]) {
    const asked = dispatchOf("Who answers?", { model, refuseUnknownModels: true });
    const refused = { outcome: "error", errorType: "model_unknown", causeOf: model, parts: [] };
    expect(await runner.run(asked).done).toMatchObject(refused);
    expect(treeOf(asked.attemptId)).toBe(`
valet.turn error model_unknown
  invoke_agent build error provider_not_found
    valet.agent.prepare error provider_not_found
  valet.turn.finalize ok`);
  }
  const second = dispatchOf("And now?", { models: ["valet/scripted-1", "valet/unknown"], refuseUnknownModels: true });
  expect(await runner.run(second).done).toMatchObject({ outcome: "ok" });
}, 90_000);

test("OpenCode is killed during a turn: the turn and its tool's command end, and OpenCode is restarted", async () => {
  const long = dispatchOf("Something long.");
  const { done } = runner.run(long);
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).not.toEqual([]), 20_000);
  // Events that OpenCode has not sent yet are lost with it.
  await vi.waitFor(() => expect(spans.at(-1)?.name).toBe("execute_tool bash"), 20_000);
  process.kill(pidOfOpenCode(), "SIGKILL");
  const died = await done;
  expect(died).toMatchObject({ outcome: "error", errorType: "opencode_died" });
  // The end is reported immediately. OpenCode is restarted afterwards, in a separate trace, and the next message waits for it.
  const next = dispatchOf("Are you there?", { opencodeSessionId: died.opencodeSessionId });
  const answered = runner.run(next).done;
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).toEqual([]), 20_000);
  expect(treeOf(long.attemptId)).toBe(`
valet.turn error opencode_died
  invoke_agent build error opencode_died
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool bash error opencode_died
  valet.turn.finalize ok`);
  expect(await answered).toMatchObject({ outcome: "ok", parts: [{ text: "Here I am." }] });
  expect(treeOf(next.attemptId)).toMatch(
    /^\nvalet\.turn ok\n {2}valet\.runner\.opencode_wait ok\n {2}invoke_agent build ok/,
  );
}, 90_000);

test("OpenCode freezes while idle: the next message gets a new one and runs once, in its session, and the trace shows the reason", async () => {
  const { opencodeSessionId } = await runner.run(dispatchOf("Are you there?")).done;
  const frozen = pidOfOpenCode();
  process.kill(frozen, "SIGSTOP");
  const next = dispatchOf("Are you still there?", { opencodeSessionId });
  const answer = { outcome: "ok", parts: [{ text: "Here I am." }], opencodeSessionId };
  expect(await runner.run(next).done).toMatchObject(answer);
  expect(pidOfOpenCode()).not.toBe(frozen);
  expect(treeOf(next.attemptId)).toMatch(
    /^\nvalet\.turn ok\n {2}valet\.agent\.unresponsive error opencode_hung\n {2}valet\.runner\.opencode_start ok\n {2}invoke_agent build ok/,
  );
}, 90_000);

test("OpenCode freezes during a turn: the turn ends with that error, its tool's command ends, and OpenCode is restarted", async () => {
  const long = dispatchOf("Something long.");
  const { done } = runner.run(long);
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).not.toEqual([]), 20_000);
  await vi.waitFor(() => expect(spans.at(-1)?.name).toBe("execute_tool bash"), 20_000);
  process.kill(pidOfOpenCode(), "SIGSTOP");
  expect(await done).toMatchObject({ outcome: "error", errorType: "opencode_hung" });
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).toEqual([]), 20_000);
  expect(await runner.run(dispatchOf("Are you there?")).done).toMatchObject({ outcome: "ok" });
}, 90_000);

test("the stored output of a tool is limited, however much it writes", { timeout: 120_000 }, async () => {
  expect(await runner.run(dispatchOf("Answer with a flood.")).done).toMatchObject({ outcome: "ok" });
  const home = join(root, "home");
  const keptBytes = () => Number.parseInt(execFileSync("du", ["-s", "--block-size=1", home], { encoding: "utf8" }), 10);
  const files = readdirSync(join(home, ".local/share/opencode/tool-output"));
  expect(files.length).toBeGreaterThan(0);
  await vi.waitFor(() => expect(keptBytes()).toBeLessThan(50_000_000), { timeout: 20_000, interval: 200 });
});

test("stop ends OpenCode and its tools' commands", async () => {
  const { done } = runner.run(dispatchOf("Something long."));
  await vi.waitFor(() => expect(toolProcesses("sleep 61.5")).not.toEqual([]), 20_000);
  const pid = pidOfOpenCode();
  await Promise.all([real.opencode.stop(), runner.abortAll("runner_shutdown")]);
  expect(await done).toMatchObject({ outcome: "aborted", errorType: "runner_shutdown" });
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  expect(toolProcesses("sleep 61.5")).toEqual([]);
}, 90_000);
