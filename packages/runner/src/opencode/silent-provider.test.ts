/**
 * Providers that keep a connection open and say nothing, on the real OpenCode: what is heard of them while that lasts, and what
 * becomes of the call. The limit on a provider's silence is a second here.
 */
import { parseScenario } from "@valet/scripted-model";
import type { Heard } from "@valet/shared/heard";
import { attributesToObject, type ReadableSpan } from "@valet/shared/tracing";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { dispatchOf, MODEL, RealAgent } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { callRef, OpenCodeAgent, permitOf } from "./agent.ts";

const real = new RealAgent();
const { spans } = real;

const done = [{ text: "Done." }, { usage: { input: 100, output: 10 } }];
const pings = { ping: { everyMs: 100 } };
const OTHER = "valet/scripted-2";
const rules = [
  { name: "once", when: { userContains: "[once]", attempt: 1 }, reply: [pings] },
  { name: "once in mid-text", when: { userContains: "[mid-text]", attempt: 1 }, reply: [{ text: "I beg" }, pings] },
  { name: "always", when: { userContains: "[always]" }, reply: [pings] },
  { name: "one model", when: { userContains: "[one model]", model: "scripted-1" }, reply: [pings] },
  { name: "silent", when: { userContains: "[silent]" }, reply: ["hang"] },
  { name: "slow", when: { userContains: "[slow]" }, reply: [{ ping: { everyMs: 25, forMs: 100 } }, ...done] },
  { name: "stops", when: { userContains: "[stops]" }, reply: [{ text: "I beg" }, "hang"] },
  { name: "answers", reply: done },
];
const scenario = parseScenario(
  JSON.stringify({ name: "silent", models: ["scripted-1", "scripted-2"], rules }),
  "silent",
);

beforeAll(async () => {
  await real.start({
    scenario,
    change: ({ tools, modelAccess: { openAiCompatible, ...access } }) => {
      if (tools === undefined || openAiCompatible === undefined) throw new Error("these are always there");
      return {
        tools: { ...tools, plugin: import.meta.resolve("@valet/opencode-plugin/test/impatient-plugin") },
        modelAccess: { ...access, openAiCompatible: { ...openAiCompatible, models: [OTHER] } },
      };
    },
    tools: {
      answer: async () => ({ ok: false, error: "There are no sessions here." }),
      onProviderCall: (call) => real.opencode.forwardProviderCall(call),
      onProviderBytes: (bytes) => real.opencode.forwardProviderBytes(bytes),
      permitModelCall: async (call) => permitOf(await runner.permitModelCall(callRef(call))),
    },
  });
  runner = new JobRunner({
    agent: new OpenCodeAgent(real.opencode),
    tracer: real.tracer,
    captureContent: false,
    defaultModel: MODEL,
    stuckTurnMs: 20_000,
    workspace: real.workspace,
    env: process.env,
    limits: { maxFailures: 2 },
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onWorking: () => {},
    onAsked: () => {},
    onHeard: (spanId, atMs, what) => {
      heard.push({ what, atMs, span: spans.find(({ context }) => context.spanId === spanId)?.name ?? "" });
    },
  });
}, 90_000);

afterAll(() => real.stop());

let heard: { readonly what: Heard; readonly span: string; readonly atMs: number }[] = [];
let runner: JobRunner;

const attributesOf = (span: ReadableSpan) => attributesToObject([...span.attributes]);
/** The models of the requests so far. */
const asked = () =>
  real.model.requests().flatMap(({ method, body }) => (method === "POST" ? [(body as { model: string }).model] : []));

async function run(name: string, models: string[] = []) {
  const [from, before] = [spans.length, asked().length];
  const result = await runner.run(dispatchOf(`[${name}]`, { models })).done;
  const own = spans.slice(from).map((span) => [span.name, attributesOf(span)["error.type"]]);
  return { result, requests: asked().slice(before), spans: own };
}

test.each(["once", "mid-text"])(
  "a provider that sends comments for too long (%s) has timed out, and is asked again",
  async (name) => {
    const { result, requests, spans: own } = await run(name);
    expect(result).toMatchObject({ outcome: "ok", summary: { modelCalls: 1, retries: 1 } });
    expect(requests).toEqual(["scripted-1", "scripted-1"]);
    // Nothing of what the first try had said.
    expect(result.parts).toMatchObject([{ type: "text", text: "Done." }]);
    const below = own.filter(([span]) => /^valet\.(?:llm\.try|retry\.wait)$/.test(String(span)));
    expect(below).toEqual([
      ["valet.llm.try", "provider_timeout"],
      ["valet.retry.wait", undefined],
      ["valet.llm.try", undefined],
    ]);
  },
  60_000,
);

test("a model whose provider does so each time gives way to the next", async () => {
  const { result, requests } = await run("one model", [MODEL, OTHER]);
  expect(result).toMatchObject({ outcome: "ok", summary: { model: OTHER } });
  expect(requests).toEqual(["scripted-1", "scripted-1", "scripted-2"]);
}, 60_000);

test("every model's does so: the message says that the last one timed out", async () => {
  const { result } = await run("always", [MODEL, OTHER]);
  expect(result).toMatchObject({
    outcome: "error",
    errorType: "model_chain_exhausted",
    cause: "provider_timeout",
    causeOf: OTHER,
  });
}, 60_000);

test("comments within the limit are no timeout", async () => {
  const { result, requests } = await run("slow");
  expect(result).toMatchObject({ outcome: "ok", summary: { retries: 0 } });
  expect(requests).toHaveLength(1);
}, 60_000);

/** Runs a turn until a condition holds for what was heard of its `chat`, then aborts it. */
async function heardOf(name: string, isEnough: () => boolean) {
  heard = [];
  const dispatch = dispatchOf(`[${name}]`);
  const { done: ended } = runner.run(dispatch);
  onTestFinished(async () => void (await ended));
  await vi.waitFor(() => expect(isEnough()).toBe(true), 20_000);
  await runner.abort(dispatch.attemptId, "user_abort");
  expect(new Set(heard.map(({ span }) => span))).toEqual(new Set(["chat scripted-1"]));
  return new Set(heard.map(({ what }) => what));
}
const has = (what: Heard) => heard.some((each) => each.what === what);

test("an open call shows the last request to a provider, its last byte and its last text", async () => {
  expect(await heardOf("silent", () => has("request"))).toEqual(new Set(["request"]));
  expect(await heardOf("always", () => has("byte"))).toEqual(new Set(["request", "byte"]));
  expect(await heardOf("stops", () => has("content") && has("byte"))).toEqual(
    new Set(["request", "byte", "first", "content"]),
  );
  // One try, and one first piece of its answer, however many follow.
  expect(heard.filter(({ what }) => what === "first")).toHaveLength(1);
}, 60_000);
