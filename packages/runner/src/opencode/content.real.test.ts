/**
 * Tests which content spans hold, with the real OpenCode: a canary is in every place that can hold text. With capture it is in the
 * attributes of the GenAI conventions, without in none; what the runner knows to be secret is in none in either case.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseScenario } from "@valet/scripted-model";
import { SPANS, type SpanDefinition } from "@valet/shared/spans";
import { utf8Length } from "@valet/shared/text";
import { attributesToObject, type ReadableSpan } from "@valet/shared/tracing";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { dispatchOf, RealAgent } from "../../test/real-agent.ts";
import { JobRunner } from "../jobs/job-runner.ts";
import { shellAnswer } from "../opencode-agent.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import { callRef, OpenCodeAgent, permitOf } from "./agent.ts";

/** A model of a provider that the repository configures, with headers. */
const OTHER_MODEL = "other/scripted-2";

const real = new RealAgent();
const { spans, tracer, workspace } = real;
const SECRET = "key-of-the-model";

const usage = { usage: { input: 10, output: 1 } };
const bash = (command: string) => ({ tool: "bash", arguments: { command, description: "canary-description" } });
const scenario = parseScenario(
  JSON.stringify({
    name: "content",
    rules: [
      {
        name: "all",
        turn: [
          [
            { text: "canary-interim" },
            bash(`echo canary-result; echo ${SECRET}; echo "$CANARY"; git checkout -q -b canary-branch`),
            usage,
          ],
          [{ tool: "read", arguments: { filePath: "/canary-missing" } }, usage],
          [bash("echo canary-failure >&2; exit 3"), usage],
          [{ tool: "docs_look", arguments: { query: "canary-mcp-argument" } }, usage],
          [{ text: `canary-answer, and ${SECRET}` }, usage],
        ],
      },
    ],
  }),
  "content",
);

let jobs: JobRunner;
let secrets: SecretValues;
const mcp = startMcpServer();

/** An MCP server over HTTP with one tool, and the headers that it got. */
function startMcpServer() {
  const heard = new Set<string | null>();
  const results: Readonly<Record<string, object>> = {
    initialize: {
      protocolVersion: "2025-06-18",
      capabilities: { tools: {} },
      serverInfo: { name: "docs", version: "1" },
      instructions: "canary-mcp-instructions",
    },
    "tools/list": {
      tools: [{ name: "look", description: "canary-mcp-description", inputSchema: { type: "object", properties: {} } }],
    },
    "tools/call": { content: [{ type: "text", text: "canary-mcp-result" }] },
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      heard.add(request.headers.get("x-team"));
      if (request.method !== "POST") return new Response(null, { status: 405 });
      const { id, method } = (await request.json()) as { id?: number; method: string };
      if (id === undefined) return new Response(null, { status: 202 });
      const headers = { "x-answer": "canary-mcp-answer-header" };
      return Response.json({ jsonrpc: "2.0", id, result: results[method] ?? {} }, { headers });
    },
  });
  return { url: `http://127.0.0.1:${server.port}/mcp`, heard, stop: () => server.stop(true) };
}

beforeAll(async () => {
  secrets = new SecretValues();
  await real.start({
    scenario,
    tools: {
      answer: async () => ({ ok: false, error: "canary-refusal" }),
      permitModelCall: async (call) => permitOf(await jobs.permitModelCall(callRef(call))),
      shellOf: (shell) => shellAnswer(jobs, shell),
      onModelRequest: (request) => real.opencode.forwardModelRequest(request),
      onProviderCall: (call) => real.opencode.forwardProviderCall(call),
    },
    env: { CANARY: "canary-env" },
    prepare: (folder) => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "AGENTS.md"), "canary-instructions");
      const headers = (text: string) => ({ "x-team": text, authorization: `Bearer ${text}` });
      writeFileSync(
        join(folder, "opencode.json"),
        JSON.stringify({
          provider: {
            other: {
              npm: "@ai-sdk/openai-compatible",
              options: { baseURL: "{env:MODEL_URL}", headers: headers("canary-model-header") },
              models: { "scripted-2": { tool_call: true, limit: { context: 100_000, output: 8_000 } } },
            },
          },
          mcp: { docs: { type: "remote", url: mcp.url, oauth: false, headers: headers("canary-mcp-header") } },
        }),
      );
    },
    change: ({ tools, env, modelAccess: { openAiCompatible } }) => ({
      secrets,
      trustsRepository: true,
      env: { ...env, MODEL_URL: openAiCompatible?.baseUrl },
      ...(tools && { tools: { ...tools, capturesContent: true } }),
    }),
  });
}, 90_000);

afterAll(async () => {
  await real.stop();
  mcp.stop();
});

/** Runs the turn. @returns its spans */
async function run(captureContent: boolean, contentMaxBytes?: number): Promise<ReadableSpan[]> {
  jobs = new JobRunner({
    agent: new OpenCodeAgent(real.opencode),
    tracer,
    captureContent,
    contentMaxBytes,
    defaultModel: OTHER_MODEL,
    stuckTurnMs: 60_000,
    workspace,
    env: process.env,
    onPart: () => {},
    onStep: () => {},
    onCommand: async () => {},
    onAsked: () => {},
    onWorking: () => {},
  });
  const from = spans.length;
  const { outcome } = await jobs.run(
    dispatchOf(`canary-prompt ${SECRET}`, {
      continuationContext: "canary-context",
      attachments: [{ filename: "canary-file.txt", mediaType: "text/plain", url: "data:text/plain,canary-attachment" }],
    }),
  ).done;
  expect(outcome).toBe("ok");
  await vi.waitFor(() => expect(spans.slice(from).every(({ endTime }) => endTime !== undefined)).toBe(true), 20_000);
  return spans.slice(from);
}

/** The spans of one kind, each as its attributes. */
const attributesOf = (own: readonly ReadableSpan[], name: string) =>
  own.filter((span) => span.name.startsWith(name)).map(({ attributes }) => attributesToObject([...attributes]));

const textOf = (own: readonly ReadableSpan[]) =>
  JSON.stringify(
    own.map(({ name, attributes, events, links, statusMessage }) => ({
      name,
      attributes: attributesToObject([...attributes]),
      events: events.map((event) => [event.name, attributesToObject([...event.attributes])]),
      links: links.map((link) => attributesToObject([...link.attributes])),
      statusMessage,
    })),
  );

test("without capture no span holds content", async () => {
  const own = await run(false);
  const text = textOf(own);
  expect(text).not.toContain("canary");
  expect(text).not.toContain(SECRET);
  // Headers were sent, and are nowhere in spans.
  expect(real.model.requests().map(({ headers }) => headers["x-team"])).toContain("canary-model-header");
  expect([...mcp.heard]).toEqual(["canary-mcp-header"]);
  // Each call was sent when the plugin said so, with its settings.
  expect(attributesOf(own, "chat ")).toHaveLength(5);
  for (const chat of attributesOf(own, "chat ")) {
    expect(chat).toMatchObject({ "valet.llm.start_source": "hook", "gen_ai.request.max_tokens": expect.any(Number) });
  }
}, 90_000);

test("with capture the conventions' attributes hold it, and nothing else does, nor any secret", async () => {
  const own = await run(true);
  expect(textOf(own)).not.toContain(SECRET);
  const [first, ...others] = attributesOf(own, "chat ");
  const read = (value: unknown) => JSON.parse(String(value)) as { role: string; parts: object[] }[];
  expect(JSON.stringify(read(first?.["gen_ai.system_instructions"]))).toContain("canary-instructions");
  const input = read(first?.["gen_ai.input.messages"]);
  expect(input.map(({ role }) => role)).toEqual(["user"]);
  for (const said of ["canary-prompt", "canary-context", "canary-file.txt"]) {
    expect(JSON.stringify(input)).toContain(said);
  }
  expect(read(first?.["gen_ai.output.messages"])).toMatchObject([
    {
      role: "assistant",
      parts: [
        { type: "text", content: "canary-interim" },
        { type: "tool_call", name: "bash" },
      ],
    },
  ]);
  const last = read(others.at(-1)?.["gen_ai.input.messages"]);
  expect(last.map(({ role }) => role)).toEqual(["user", ...Array(4).fill(["assistant", "tool"]).flat()]);
  expect(JSON.stringify(last)).toContain("canary-result");
  const [shown] = attributesOf(own, "execute_tool bash");
  expect(JSON.parse(String(shown?.["gen_ai.tool.call.arguments"]))).toMatchObject({
    command: expect.stringContaining("echo canary-result"),
  });
  expect(JSON.parse(String(shown?.["gen_ai.tool.call.result"]))).toMatchObject({
    output: expect.stringMatching(/canary-result[\s\S]*REDACTED[\s\S]*canary-env/),
  });
  const [looked] = attributesOf(own, "execute_tool docs_look");
  expect(looked?.["gen_ai.tool.call.arguments"]).toContain("canary-mcp-argument");
  expect(looked?.["gen_ai.tool.call.result"]).toContain("canary-mcp-result");
  expect(textOf(own)).not.toMatch(/canary-[a-z-]*header/);
  // No other attribute, no name, no event, no status.
  const isContent = (key: string) =>
    /^gen_ai\.(?:input|output|system|tool\.call)[._]/.test(key) && !key.endsWith(".id");
  const rest = own.map(({ name, attributes, events, statusMessage }) => [
    name,
    Object.entries(attributesToObject([...attributes])).filter(([key]) => !isContent(key)),
    events,
    statusMessage,
  ]);
  expect(JSON.stringify(rest)).not.toContain("canary");
  const chat: SpanDefinition = SPANS["chat {model}"];
  for (const each of [first, ...others]) {
    const unknown = Object.keys(each ?? {}).filter((key) => key.startsWith("gen_ai."));
    expect(
      unknown.filter(
        (key) => ![...chat.required, ...chat.optional, ...Object.keys(chat.fixed ?? {})].includes(key as never),
      ),
    ).toEqual([]);
  }
}, 90_000);

test("what a provider says of a failure is content, and no secret in it leaves", async () => {
  const rules = [
    {
      name: "refused",
      when: { attempt: 1 },
      reply: [{ error: { status: 429, message: `canary-refusal of ${SECRET}` } }],
    },
    { name: "answered", reply: [{ text: "Here I am." }, usage] },
  ];
  real.model.setScenario(parseScenario(JSON.stringify({ name: "refused", rules }), "refused"));
  onTestFinished(() => real.model.setScenario(scenario));
  const own = await run(true);
  expect(attributesOf(own, "valet.llm.try")[0]?.["error.message"]).toMatch(/canary-refusal of .*REDACTED/);
  expect(textOf(own)).not.toContain(SECRET);
  expect(textOf(await run(false))).not.toContain("canary-refusal");
}, 90_000);

test("content that is longer than it may be is cut, and stays JSON", async () => {
  const own = await run(true, 512);
  for (const span of own) {
    for (const [key, value] of Object.entries(attributesToObject([...span.attributes]))) {
      if (!/^gen_ai\.(?:input|output)\.messages$|^gen_ai\.system_instructions$|call\.(?:arguments|result)$/.test(key))
        continue;
      expect(utf8Length(String(value))).toBeLessThanOrEqual(512);
      expect(JSON.parse(String(value))).toBeTypeOf("object");
    }
  }
  expect(textOf(own)).toContain("gen_ai.input.messages");
}, 90_000);
