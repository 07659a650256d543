/**
 * Tests malicious or broken models, providers and prompts with the real OpenCode: the turn's result, its record and its spans.
 * Each request to the scripted model must be in exactly one span.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseScenario } from "@valet/scripted-model";
import type { PromptDispatch } from "@valet/shared/protocol/dispatch";
import { attributesToObject, contextHeaders, type ReadableSpan } from "@valet/shared/tracing";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { dispatchOf, MODEL, RealAgent } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { callRef, OpenCodeAgent, permitOf } from "./agent.ts";
import { OpenCodeClient } from "./client.ts";

const real = new RealAgent();
const { spans, tracer, workspace } = real;

const usage = { usage: { input: 100, output: 10 } };
const done = [{ text: "Done." }, usage];
const bash = (command: string, more = {}) => ({ tool: "bash", arguments: { command, ...more } });
const rules: { name: string; when: object; reply?: unknown; turn?: unknown }[] = [];
/** Returns a rule for prompts that contain its name. */
function rule(name: string, what: { reply: unknown } | { turn: unknown }): void {
  rules.push({ name, when: { userContains: `[${name}]` }, ...what });
}
rule("page", { reply: [{ page: { body: "<!doctype html><title>Sign in</title>" } }] });
rule("json", { reply: [{ page: { contentType: "application/json", body: '{"choices":[]}' } }] });
rule("no-finish", { reply: [{ text: "I think that" }, { finish: "none" }] });
rule("nothing", { reply: [{ finish: "none" }] });
rule("no-tool", { reply: [{ text: "I call it now." }, { finish: "tool_calls" }, usage] });
rule("same-tool", { reply: [bash("echo the same"), usage] });
rule("turns", { reply: [{ tool: "read", arguments: { filePath: "README.md" } }, bash("echo the same"), usage] });
rule("counter", { reply: [bash("date +%s%N"), usage] });
rule("blank", { reply: [{ text: "  \n " }, usage] });
rule("invisible", { reply: [{ text: "\u200b\u2060 \u200d\u00ad" }, usage] });
rule("thinks", { reply: [{ reasoning: "Hm, what might be the answer?" }, usage] });
rule("stop", { reply: [{ finish: "stop" }, usage] });
rule("no-usage", { reply: [{ text: "That is all." }] });
rule("half-usage", { reply: [{ text: "That is all." }, { rawUsage: { completion_tokens: 7 } }] });
rule("odd-usage", {
  reply: [
    { text: "That is all." },
    {
      rawUsage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_tokens_details: { cached_tokens: 150 },
      },
    },
  ],
});
rule("odd-reasoning", {
  reply: [
    { text: "That is all." },
    {
      rawUsage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        completion_tokens_details: { reasoning_tokens: 50 },
      },
    },
  ],
});
rule("negative-cache", {
  reply: [
    { text: "That is all." },
    { rawUsage: { prompt_tokens: 100, completion_tokens: 20, prompt_tokens_details: { cached_tokens: -5 } } },
  ],
});
rule("negative-reasoning", {
  reply: [
    { text: "That is all." },
    { rawUsage: { prompt_tokens: 100, completion_tokens: 20, completion_tokens_details: { reasoning_tokens: -5 } } },
  ],
});
const impossibleUsages: Readonly<Record<string, object>> = {
  huge: { prompt_tokens: 1e18, completion_tokens: 20, total_tokens: 1e18 },
  negative: { prompt_tokens: -100, completion_tokens: -5, total_tokens: -105 },
  fractional: { prompt_tokens: 100.5, completion_tokens: 20.25, total_tokens: 120.75 },
};
for (const [name, rawUsage] of Object.entries(impossibleUsages)) {
  rule(`${name}-usage`, { reply: [{ text: "That is all." }, { rawUsage }] });
}
// OpenCode compacts a context that it considers that full, and continues.
rules.push({ name: "compaction", when: { agent: "compaction" }, reply: [{ text: "A summary." }, usage] });
rules.push({ name: "afterwards", when: { userMatches: "^(?!.*\\[)" }, reply: done });
const chunk = (delta: object, more = {}) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta, ...more }] })}\n\n`;
const begun = chunk({ role: "assistant", content: "I beg" });
const garbledStreams: Readonly<Record<string, string>> = {
  "no-json": "data: {not json\n\n",
  "no-json-later": `${begun}data: {not json\n\n${chunk({}, { finish_reason: "stop" })}data: [DONE]\n\n`,
  "html-inside": `${begun}data: <html><body>Bad Gateway</body></html>\n\n`,
  "other-json": 'data: {"answer":"Yes."}\n\ndata: [DONE]\n\n',
  array: "data: []\n\n",
  "nameless-tool": chunk({ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { arguments: "{}" } }] }),
  "usage-of-words": `${begun}data: {"choices":[],"usage":{"prompt_tokens":"NaN","completion_tokens":"many"}}\n\n`,
};
for (const [name, body] of Object.entries(garbledStreams)) {
  rule(`garbled-${name}`, { reply: [{ page: { contentType: "text/event-stream", body } }] });
}
const errorEvent = (error: object) => `event: error\ndata: ${JSON.stringify({ type: "error", error })}\n\n`;
const errorStreams: Readonly<Record<string, readonly [body: string, errorType: string]>> = {
  quota: [
    'data: {"error":{"message":"gone","type":"insufficient_quota"}}\n\ndata: [DONE]\n\n',
    "provider_rate_limited",
  ],
  overloaded: [errorEvent({ type: "overloaded_error", message: "no" }), "provider_overloaded"],
  "wrong-key": [errorEvent({ type: "authentication_error", message: "no" }), "provider_auth_failed"],
  later: [`${begun}${errorEvent({ code: "rate_limit_exceeded", message: "no" })}`, "provider_rate_limited"],
};
const errorDocuments: Readonly<Record<string, readonly [document: unknown, errorType: string]>> = {
  number: [{ error: { code: 429, message: "no" } }, "provider_rate_limited"],
  words: [{ error: "The model is overloaded" }, "provider_overloaded"],
  list: [[{ error: { code: 401, status: "UNAUTHENTICATED" } }], "provider_auth_failed"],
};
for (const [name, [document]] of Object.entries(errorDocuments)) {
  const body = JSON.stringify(document, null, 2);
  rule(`document-${name}`, { reply: [{ page: { contentType: "application/json", body } }] });
}
for (const [name, [body]] of Object.entries(errorStreams)) {
  rule(`error-${name}`, { reply: [{ page: { contentType: "text/event-stream", body } }] });
}
rule("cut-json", { reply: [{ page: { contentType: "text/event-stream", body: `${begun}data: {"choices":[{"de` } }] });
rule("empty-id", { turn: [[{ ...bash("echo one"), id: "" }, usage], done] });
rule("no-json", { turn: [[{ tool: "bash", arguments: '{"command": "echo' }, usage], done] });
rule("wrong-arguments", { turn: [[{ tool: "bash", arguments: { cmd: 5 } }, usage], done] });
rule("array-arguments", { turn: [[{ tool: "read", arguments: "[]" }, usage], done] });
const sameIds = (id: string) => ({
  turn: [[{ ...bash("echo one"), id }, { ...bash("exit 3"), id }, { ...bash("echo two"), id }, usage], done],
});
rule("same-ids", sameIds("call_1"));
rule("empty-ids", sameIds(""));
rule("no-such-tool", { turn: [[{ tool: "frobnicate", arguments: { path: "a" } }, usage], done] });
rule("timeout", { turn: [[bash("sleep 71.25", { timeout: 500 }), usage], done] });
rule("short", { turn: [[bash("sleep 1"), usage], done] });
const task = { description: "Look", prompt: "[nothing] Look.", subagent_type: "general" };
rule("sub-agent", { turn: [[{ tool: "task", arguments: task }, usage], done] });
rule("long", { turn: [[{ text: "I wait." }, bash("sleep 72.25"), usage], done] });
for (const [name, work] of [
  ["held", "sleep 72.5"],
  ["held-loud", "while :; do echo x; sleep 0.2; done"],
] as const) {
  rule(name, { turn: [[bash(`setsid sh -c '${work}' & sleep 72.75`, { timeout: 500 }), usage], done] });
}
rule("long-no-usage", { turn: [[{ text: "I wait." }, bash("sleep 72.25")], done] });
rule("silent", { reply: ["hang"] });
rule("ok", { reply: done });

beforeAll(
  () =>
    real.start({
      scenario: hostile(),
      tools: {
        answer: async () => ({ ok: false, error: "There are no sessions here." }),
        onProviderCall: (call) => real.opencode.forwardProviderCall(call),
        permitModelCall: async (call) => {
          const permit = await runner.permitModelCall(callRef(call));
          onPermit();
          return permitOf(permit);
        },
      },
    }),
  90_000,
);

afterAll(() => real.stop());

let runner: JobRunner;
/** Called with each permit, before the plugin receives it. */
let onPermit = () => {};
function makeRunner({ overrunMs = 60_000, captureContent = false, ...options }: RunnerChoices = {}): void {
  runner = new JobRunner({
    agent: new OpenCodeAgent(real.opencode),
    tracer,
    captureContent,
    defaultModel: MODEL,
    stuckTurnMs: 20_000,
    workspace,
    env: process.env,
    turnBounds: options,
    limits: { overrunMs, maxFailures: 2 },
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onWorking: () => {},
    onAsked: () => {},
  });
}

interface RunnerChoices {
  readonly captureContent?: boolean;
  readonly overrunMs?: number;
  readonly maxModelCalls?: number;
  readonly maxTurnMs?: number;
  readonly pollingTools?: string[];
}

const hostile = () => parseScenario(JSON.stringify({ name: "hostile", rules }), "hostile");
const requestCount = () => real.model.requests().filter(({ method }) => method === "POST").length;
const attributesOf = (span: ReadableSpan) => attributesToObject([...span.attributes]);
const isChat = ({ name }: ReadableSpan) => name.startsWith("chat ");
/** Counts requests: a call with several tries is one request per try. */
const isRequest = (span: ReadableSpan) =>
  isChat(span) || (span.name === "valet.llm.try" && Number(attributesOf(span)["valet.llm.attempt"]) > 1);

/**
 * Whether a call was cut short before anything was heard of it. OpenCode reports a call some 10 to 40 ms before it sends the request,
 * and an abort in between keeps it from doing so.
 */
const mayBeUnsent = (span: ReadableSpan) => {
  const { "valet.outcome": outcome, "error.type": errorType, ...own } = attributesOf(span);
  const isCut = outcome === "aborted" || errorType === "turn_time_limit";
  return isCut && own["gen_ai.response.time_to_first_chunk"] === undefined;
};

/** Runs a turn. @returns its result, its spans, and the number of requests to the model */
async function run(name: string, options: Parameters<typeof makeRunner>[0] = {}, fields: Partial<PromptDispatch> = {}) {
  makeRunner(options);
  const [from, before] = [spans.length, requestCount()];
  const result = await runner.run(dispatchOf(`[${name}]`, fields)).done;
  const own = spans.slice(from);
  return { result, spans: own, chats: own.filter(isChat), requests: requestCount() - before };
}

afterEach(() => {
  real.model.setScenario(hostile());
  for (const span of spans) expect(span.endTime, span.name).toBeDefined();
  // There are no requests for titles, either.
  const calls = spans.filter(isRequest);
  expect(requestCount()).toBeLessThanOrEqual(calls.length);
  expect(requestCount()).toBeGreaterThanOrEqual(calls.filter((call) => !mayBeUnsent(call)).length);
});

test.each(["json", "no-finish", "nothing", "no-tool", "cut-json"])(
  "a provider that answers with %s is asked three times",
  async (name) => {
    const { result, requests, chats } = await run(name);
    expect(result).toMatchObject({ outcome: "error", errorType: "useless_answers", summary: { modelCalls: 3 } });
    expect([requests, chats.length]).toEqual([3, 3]);
    // The next turn of the same session follows immediately.
    const { opencodeSessionId } = result;
    expect((await run("ok", {}, { opencodeSessionId })).result).toMatchObject({ outcome: "ok", opencodeSessionId });
  },
  60_000,
);

test.each(["same-tool", "turns"])(
  "%s without new results ends the turn as a loop",
  async (name) => {
    const { result, requests } = await run(name);
    expect(result).toMatchObject({ outcome: "error", errorType: "agent_loop" });
    expect(requests).toBe(5);
  },
  60_000,
);

/** Delays aborts so long that OpenCode continues on its own. */
function delayAborts(ms: number): void {
  const { abort } = OpenCodeClient.prototype;
  const spy = vi.spyOn(OpenCodeClient.prototype, "abort").mockImplementation(async function (
    this: OpenCodeClient,
    ...args
  ) {
    await sleep(ms);
    return abort.apply(this, args);
  });
  onTestFinished(() => spy.mockRestore());
}

test.each<[string, string, number, RunnerChoices?]>([
  ["nothing", "useless_answers", 3],
  ["no-tool", "useless_answers", 3],
  ["same-tool", "agent_loop", 5],
  ["sub-agent", "useless_answers", 4],
  ["counter", "model_call_limit", 2, { maxModelCalls: 2 }],
])(
  "no request follows the decision to end a turn (%s), however late OpenCode receives the abort",
  async (name, errorType, count, choices) => {
    delayAborts(2000);
    const { result, requests, chats } = await run(name, choices);
    expect(result).toMatchObject({ outcome: "error", errorType, summary: { modelCalls: count } });
    expect([requests, chats.length]).toEqual([count, count]);
    const { opencodeSessionId } = result;
    expect((await run("ok", {}, { opencodeSessionId })).result).toMatchObject({ outcome: "ok", opencodeSessionId });
  },
  60_000,
);

test("no request follows a person's abort, however late OpenCode receives it", async () => {
  delayAborts(2000);
  makeRunner();
  const before = requestCount();
  const dispatch = dispatchOf("[short]");
  const { done: ended } = runner.run(dispatch);
  await vi.waitFor(() => expect(spans.at(-1)?.name).toBe("execute_tool bash"), 20_000);
  await runner.abort(dispatch.attemptId, "user_abort");
  expect(await ended).toMatchObject({ outcome: "aborted", errorType: "user_abort", summary: { modelCalls: 1 } });
  expect(requestCount() - before).toBe(1);
}, 60_000);

test("no request follows an abort between a call's permit and its request", async () => {
  delayAborts(2000);
  makeRunner();
  const before = requestCount();
  const dispatch = dispatchOf("[ok]");
  let permits = 0;
  onPermit = () => {
    if (permits++ === 0) void runner.abort(dispatch.attemptId, "user_abort");
  };
  onTestFinished(() => {
    onPermit = () => {};
  });
  expect(await runner.run(dispatch).done).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
  expect([permits, requestCount() - before]).toEqual([2, 0]);
}, 60_000);

test("polling is not a loop, but model calls per turn are limited", async () => {
  const { result, requests } = await run("same-tool", { pollingTools: ["bash"], maxModelCalls: 7 });
  expect(result).toMatchObject({ outcome: "error", errorType: "model_call_limit", summary: { modelCalls: 7 } });
  expect(requests).toBe(7);
}, 60_000);

test("a turn has a time limit", async () => {
  const { result } = await run("counter", { maxTurnMs: 3000 });
  expect(result).toMatchObject({ outcome: "error", errorType: "turn_time_limit" });
}, 60_000);

test.each(["blank", "invisible", "thinks", "stop"])(
  "an answer with only %s is not a success",
  async (name) => {
    const { result, chats } = await run(name);
    expect(result).toMatchObject({ outcome: "error", errorType: "empty_answer" });
    expect(attributesOf(chats[0] as ReadableSpan)).toMatchObject({ "error.type": "empty_answer" });
  },
  60_000,
);

test("a stream without usage has unknown usage", async () => {
  const { result, chats } = await run("no-usage");
  expect(result).toMatchObject({
    outcome: "ok",
    summary: { costUsd: null, modelCalls: 1, callsWithoutUsage: 1, tokens: { input: null, output: null } },
  });
  const chat = attributesOf(chats[0] as ReadableSpan);
  expect(Object.keys(chat).filter((key) => key.startsWith("gen_ai.usage.") || key.includes("cost"))).toEqual([]);
  // Its prices are known. Input that is written to the cache costs as much as other input if it has no price.
  const prices = { "valet.llm.price.input": 1, "valet.llm.price.cache_read": 0.5, "valet.llm.price.cache_write": 1 };
  expect(chat).toMatchObject(prices);
}, 60_000);

test("a stream may report half of the usage", async () => {
  const { result } = await run("half-usage");
  // The cost is at least that of the known half.
  const lacks = { callsWithoutUsage: 1, callsWithoutCost: 1 };
  expect(result.summary).toMatchObject({ ...lacks, tokens: { input: null, output: 7 } });
}, 60_000);

test.each([
  ["odd-usage", { input: 100, output: 20, cacheRead: 100, reasoning: 0 }],
  ["odd-reasoning", { input: 100, output: 20, cacheRead: 0, reasoning: 20 }],
])(
  "%s: the record is consistent, and marks the provider's usage as inconsistent",
  async (name, tokens) => {
    const { result, chats } = await run(name);
    // OpenCode has calculated the cost of the part as the provider reported it.
    expect(result.summary).toMatchObject({ callsWithOddUsage: 1, tokens, costUsd: null, callsWithoutCost: 1 });
    expect(attributesOf(chats[0] as ReadableSpan)).toMatchObject({ "valet.llm.usage_inconsistent": true });
  },
  60_000,
);

test.each(["negative-cache", "negative-reasoning"])(
  "%s, which OpenCode replaces by 0: the whole is kept, and the usage is marked as inconsistent",
  async (name) => {
    const { result, chats } = await run(name);
    expect(result.summary).toMatchObject({ callsWithOddUsage: 1, tokens: { input: 100, output: 20 }, costUsd: null });
    expect(attributesOf(chats[0] as ReadableSpan)).toMatchObject({ "valet.llm.usage_inconsistent": true });
  },
  60_000,
);

test.each(["huge", "negative", "fractional"])(
  "a %s token count is ignored, and the record marks the usage as inconsistent",
  async (name) => {
    const { result, chats } = await run(`${name}-usage`);
    expect(result).toMatchObject({ outcome: "ok", summary: { callsWithOddUsage: 1 } });
    const { tokens, costUsd } = result.summary;
    for (const value of [...Object.values(tokens), costUsd]) {
      // The known figures are those of the other calls, or of the possible half.
      if (value !== null) expect(value).toBeLessThan(1000);
    }
    const attributes = attributesOf(chats[0] as ReadableSpan);
    expect(attributes).toMatchObject({ "valet.outcome": "ok", "valet.llm.usage_inconsistent": true });
    expect(Object.keys(attributes)).not.toContain("gen_ai.usage.input_tokens");
    expect(Object.keys(attributes)).not.toContain("valet.llm.cost_usd");
  },
  60_000,
);

test.each(Object.entries(errorStreams))(
  "an error within a stream (%s) has the type of its status, and the next model is tried",
  async (name, [, errorType]) => {
    const { result, chats } = await run(`error-${name}`);
    expect(result).toMatchObject({ outcome: "error", errorType: "model_chain_exhausted", cause: errorType });
    expect(attributesOf(chats[0] as ReadableSpan)).toMatchObject({ "error.type": errorType });
  },
  60_000,
);

test.each(Object.entries(errorDocuments))(
  "an error document with status 200 (%s) has the type of its status, and the next model is tried",
  async (name, [, errorType]) => {
    const { result, chats } = await run(`document-${name}`);
    expect(result).toMatchObject({ outcome: "error", errorType: "model_chain_exhausted", cause: errorType });
    expect(attributesOf(chats[0] as ReadableSpan)).toMatchObject({ "error.type": errorType });
  },
  60_000,
);

test.each(Object.keys(garbledStreams))(
  "a garbled answer (%s) is a provider error, and the next model is tried",
  async (name) => {
    const { result, chats } = await run(`garbled-${name}`);
    expect(result).toMatchObject({
      outcome: "error",
      errorType: "model_chain_exhausted",
      cause: "provider_bad_response",
      causeOf: "valet/scripted-1",
    });
    for (const chat of chats) expect(attributesOf(chat)).toMatchObject({ "error.type": "provider_bad_response" });
  },
  60_000,
);

test("a web page in place of an answer is a provider error at once: each model is asked once", async () => {
  const { result, requests, chats } = await run("page");
  expect(result).toMatchObject({ errorType: "model_chain_exhausted", cause: "provider_bad_response" });
  expect(requests).toBe(chats.length);
  const models = chats.map((chat) => attributesOf(chat)["gen_ai.request.model"]);
  expect(new Set(models).size).toBe(chats.length);
  for (const chat of chats) {
    expect(attributesOf(chat)).toMatchObject({
      "error.type": "provider_bad_response",
      "http.response.status_code": 200,
    });
  }
}, 60_000);

test.each([
  ["empty-id", "execute_tool bash", "ok", undefined],
  ["no-json", "execute_tool bash", "error", "tool_call_invalid"],
  ["no-such-tool", "execute_tool frobnicate", "error", "tool_call_invalid"],
  ["wrong-arguments", "execute_tool bash", "error", "tool_call_invalid"],
  ["array-arguments", "execute_tool read", "error", "tool_call_invalid"],
  ["timeout", "execute_tool bash", "error", "tool_timeout"],
])(
  "a tool call with %s is %s: %s",
  async (name, span, outcome, errorType) => {
    const { result, spans: own } = await run(name);
    expect(result).toMatchObject({ outcome: "ok", summary: { toolCalls: 1, toolErrors: outcome === "ok" ? 0 : 1 } });
    const tools = own.filter((each) => each.name.startsWith("execute_tool "));
    expect(tools.map((each) => each.name)).toEqual([span]);
    const attributes = attributesOf(tools[0] as ReadableSpan);
    expect([attributes["valet.outcome"], attributes["error.type"]]).toEqual([outcome, errorType]);
  },
  60_000,
);

test.each(["same-ids", "empty-ids"])(
  "tool calls of one answer that share an id (%s) are a span each, and the model gets each result",
  async (name) => {
    const { result, spans: own } = await run(name);
    expect(result).toMatchObject({ outcome: "ok", summary: { toolCalls: 3 } });
    const tools = own.filter((each) => each.name === "execute_tool bash").map(attributesOf);
    expect(tools.map((tool) => tool["process.exit.code"]).toSorted()).toEqual([0, 0, 3]);
    expect(new Set(tools.map((tool) => tool["gen_ai.tool.call.id"])).size).toBe(3);
    const { body } = real.model.requests().at(-1) ?? {};
    const { messages } = body as { messages: { role: string; content: string }[] };
    const results = messages.filter(({ role }) => role === "tool").map(({ content }) => content.trim());
    expect(results).toEqual(["one", expect.any(String), "two"]);
  },
  60_000,
);

test("the time to the first token excludes the preparation, which has its own figure and span", async () => {
  const { result, spans: own } = await run("ok");
  const { timeToFirstTokenMs = 0, prepareMs = 0, turnMs } = result.summary;
  expect(Number.isInteger(timeToFirstTokenMs) && Number.isInteger(prepareMs)).toBe(true);
  expect(timeToFirstTokenMs + prepareMs).toBeLessThanOrEqual(turnMs);
  expect(own.filter(({ name }) => name === "valet.agent.prepare")).toHaveLength(1);
}, 60_000);

/** Aborts a turn during its tool call, after the model call has ended. */
async function abortInTool(scenario: string) {
  makeRunner();
  const from = spans.length;
  const dispatch = dispatchOf(scenario);
  const { done: ended } = runner.run(dispatch);
  const chat = await vi.waitFor(() => {
    const found = spans.slice(from).find(isChat);
    expect(found?.endTime).toBeDefined();
    return found as ReadableSpan;
  }, 20_000);
  const tool = await vi.waitFor(() => {
    const found = spans.slice(from).find(({ name }) => name === "execute_tool bash");
    expect(found).toBeDefined();
    return found as ReadableSpan;
  }, 20_000);
  expect(tool.endTime).toBeUndefined();
  await runner.abort(dispatch.attemptId, "steered");
  return { chat, summary: (await ended).summary };
}

test("a model call ends with its answer, not with its tools, and counts even if those are interrupted", async () => {
  const { chat, summary } = await abortInTool("[long]");
  expect(summary).toMatchObject({ modelCalls: 1, tokens: { input: 100, output: 10 } });
  expect(summary.costUsd).toBeCloseTo((100 + 10 * 2) / 1e6, 12);
  expect(attributesOf(chat)).toMatchObject({ "valet.outcome": "ok", "gen_ai.usage.input_tokens": 100 });
}, 60_000);

test.each(["held", "held-loud"])(
  "a tool whose output a background process holds open (%s) ends its turn after its own limit",
  async (name) => {
    const { result, spans: own } = await run(name, { overrunMs: 500 });
    expect(result).toMatchObject({ outcome: "error", errorType: "tool_stuck" });
    const tool = own.find(({ name: each }) => each === "execute_tool bash") as ReadableSpan;
    expect(attributesOf(tool)).toMatchObject({ "valet.outcome": "error", "error.type": "tool_stuck" });
  },
  60_000,
);

test("a call without usage also ends with its answer, so only the hanging tool stays open", async () => {
  const { chat } = await abortInTool("[long-no-usage]");
  expect(attributesOf(chat)["valet.outcome"]).toBe("ok");
  expect(attributesOf(chat)).not.toHaveProperty("gen_ai.usage.input_tokens");
}, 60_000);

test.each([
  [429, "provider_rate_limited"],
  [503, "provider_overloaded"],
  [500, "provider_failed"],
  [504, "provider_timeout"],
])(
  "HTTP %i without a message is %s",
  async (status, errorType) => {
    real.model.setScenario(
      parseScenario(
        JSON.stringify({
          name: "status",
          rules: [
            {
              name: "fails",
              when: { attempt: 1 },
              reply: [{ error: { status, message: "No.", headers: { "retry-after": 1 } } }],
            },
            { name: "answers", reply: done },
          ],
        }),
        "status",
      ),
    );
    const { result, chats, spans: own } = await run("whatever");
    expect(result).toMatchObject({ outcome: "ok", summary: { modelCalls: 1, retries: 1 } });
    expect(chats.map((chat) => attributesOf(chat))).toMatchObject([{ "valet.outcome": "ok" }]);
    // Each try has the context of the call.
    const sent = real.model.requests().slice(-2);
    const { traceparent } = contextHeaders((chats[0] as ReadableSpan).context);
    expect(sent.map(({ headers }) => headers.traceparent)).toEqual([traceparent, traceparent]);
    const below = own.filter(({ parent }) => parent?.spanId === chats[0]?.context.spanId);
    const told = below.map((span) => [span.name, attributesOf(span)["error.type"], httpStatusOf(span)]);
    expect(told).toEqual([
      ["valet.llm.try", errorType, status],
      ["valet.retry.wait", undefined, undefined],
      ["valet.llm.try", undefined, undefined],
    ]);
  },
  60_000,
);

test.each([
  [400, "provider_bad_request"],
  [402, "provider_out_of_credit"],
  [404, "provider_not_found"],
])(
  "a call that ends with HTTP %i is %s, and its span has the status, but nothing of what the provider said",
  async (status, errorType) => {
    const reply = [{ error: { status, message: "canary" } }];
    real.model.setScenario(
      parseScenario(JSON.stringify({ name: "refused", rules: [{ name: "fails", reply }] }), "refused"),
    );
    const { chats, spans: own } = await run("whatever");
    expect(chats.map((span) => [attributesOf(span)["error.type"], httpStatusOf(span)])).toEqual([[errorType, status]]);
    expect(JSON.stringify(own.map((span) => attributesOf(span)))).not.toContain("canary");
  },
  60_000,
);

test("where content is captured, the span of a failed call or try has what the provider said, cut", async () => {
  const said = (message: string, when: object) => ({ when, reply: [{ error: { status: 429, message } }] });
  const rules = [
    { name: "first", ...said("canary-first", { attempt: 1 }) },
    { name: "second", ...said(`canary-second ${"x".repeat(2_000)}`, { attempt: 2 }) },
  ];
  real.model.setScenario(parseScenario(JSON.stringify({ name: "refused", rules }), "refused"));
  const { result, spans: own } = await run("whatever", { captureContent: true });
  expect(result).toMatchObject({ outcome: "error" });
  const told = own.map((span) => [span.name, attributesOf(span)["error.message"]]);
  const second = expect.stringMatching(/^canary-second x{900,}…$/);
  expect(told.filter(([, message]) => message !== undefined)).toEqual([
    [expect.stringMatching(/^chat /), second],
    ["valet.llm.try", "canary-first"],
    ["valet.llm.try", second],
  ]);
}, 60_000);

test("a call that exceeds the context fails, and after a compaction the turn continues", async () => {
  const message = "This model's maximum context length is 1000 tokens. However, you requested 2000 tokens.";
  real.model.setScenario(
    parseScenario(
      JSON.stringify({
        name: "overflow",
        rules: [
          { name: "compaction", when: { agent: "compaction" }, reply: [{ text: "A summary." }, usage] },
          {
            name: "overflows",
            when: { userContains: "[big]", attempt: 1 },
            reply: [{ error: { status: 400, message } }],
          },
          { name: "answers", reply: done },
        ],
      }),
      "overflow",
    ),
  );
  const before = real.model.requests().length;
  const { result, chats, spans: own } = await run("big");
  expect(result).toMatchObject({ outcome: "ok" });
  // That of the compaction, too, has the context of its call.
  const sent = real.model.requests().slice(before);
  expect(sent.map(({ headers }) => headers.traceparent)).toEqual(
    chats.map(({ context }) => contextHeaders(context).traceparent),
  );
  expect(chats.map((chat) => attributesOf(chat)["error.type"])).toEqual(["context_overflow", undefined, undefined]);
  expect(chats.map((chat) => attributesOf(chat)["gen_ai.conversation.compacted"])).toEqual([
    undefined,
    undefined,
    true,
  ]);
  expect(own.some(({ name }) => name === "valet.compaction")).toBe(true);
}, 60_000);

const attachment = (filename: string, mediaType: string, hex: string) => ({
  filename,
  mediaType,
  url: `data:${mediaType};base64,${Buffer.from(hex, "hex").toString("base64")}`,
});

test("an image that cannot be decoded ends its turn immediately, and the channel continues", async () => {
  // Only the beginning of an image.
  const attachments = [attachment("torn.png", "image/png", "89504e470d0a1a0a0000000d49484452")];
  const { result, requests } = await run("ok", {}, { attachments });
  expect(result).toMatchObject({ outcome: "error", errorType: "attachment_unreadable" });
  expect(requests).toBe(0);
  const { opencodeSessionId } = result;
  expect((await run("ok", {}, { opencodeSessionId })).result).toMatchObject({ outcome: "ok", opencodeSessionId });
}, 60_000);

test("an image whose type is in capital letters is an image, and fails no later message", async () => {
  const onePixel =
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082";
  const attachments = [attachment("a.png", "IMAGE/PNG", onePixel)];
  const { result } = await run("ok", {}, { attachments });
  expect(result).toMatchObject({ outcome: "ok" });
  const { opencodeSessionId } = result;
  expect((await run("ok", {}, { opencodeSessionId })).result).toMatchObject({ outcome: "ok", opencodeSessionId });
}, 60_000);

test("a file that no model supports is stored in the workspace, mentioned in the prompt, and fails no later message", async () => {
  const attachments = [attachment("data.zip", "application/zip", "504b0304140000000800")];
  const { result } = await run("ok", {}, { attachments });
  expect(result).toMatchObject({ outcome: "ok" });
  const sent = JSON.stringify(real.model.requests().at(-1)?.body);
  const path = /\.valet\/attachments\/[\w.-]+\/1-data\.zip/.exec(sent)?.[0] ?? "";
  expect(readFileSync(join(workspace, path)).toString("hex")).toBe("504b0304140000000800");
  const { opencodeSessionId } = result;
  expect((await run("ok", {}, { opencodeSessionId })).result).toMatchObject({ outcome: "ok", opencodeSessionId });
}, 60_000);

function httpStatusOf(span: ReadableSpan) {
  return attributesOf(span)["http.response.status_code"];
}
