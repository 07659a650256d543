/** Tests the span of a prompt's wait for MCP servers: it is open while OpenCode connects, and ends as the wait did. */
import type { ValetSpans } from "@valet/shared/spans";
import { Tracer } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Ending, Fact } from "../agent/facts.ts";
import type { McpStatus } from "./client.ts";
import { type AgentEvent, readEvent } from "./events.ts";
import { McpServers } from "./mcp-servers.ts";
import { TurnReducer } from "./turn-reducer.ts";

const SESSION = "ses_1";
const PROMPT = "msg_1";
const START_MS = 1000;

/** Returns a prompt that was sent while OpenCode began to connect to the servers that the files configure. */
function promptDuringConnect(configured: readonly string[] = ["docs", "silent"]) {
  const tracer = new Tracer<ValetSpans>({ scope: { name: "test" }, processor: { onStart: () => {}, onEnd: () => {} } });
  const reading = Promise.withResolvers<Map<string, McpStatus>>();
  const exited = Promise.withResolvers<void>();
  let nowMs = START_MS - 500;
  const servers = new McpServers({
    client: { mcpServers: () => reading.promise } as never,
    exited: exited.promise,
    tracer,
    start: tracer.startSpan("valet.runner.opencode_start").context,
    configured,
    onFailed: () => {},
    onProblem: () => {},
    nowMs: () => nowMs,
  });
  const connecting = servers.connect();
  const prompt = (startMs: number) => promptAt(startMs, (from, until) => servers.waitWithin(from, until));
  /** Lets the reading of the servers end. */
  const settle = async (atMs: number, answer: Record<string, unknown> | Error) => {
    nowMs = atMs;
    if (answer instanceof Error) reading.reject(answer);
    else reading.resolve(new Map(Object.entries(answer)) as Map<string, McpStatus>);
    await connecting;
    return waitsIn(reducer.mcpConnected());
  };
  const { reducer, announce } = prompt(START_MS);
  return { reducer, announce, settle, prompt, exit: () => exited.resolve() };
}

function promptAt(startMs: number, mcpWait: McpServers["waitWithin"]) {
  const reducer = new TurnReducer({
    attemptId: "att_1",
    sessionId: SESSION,
    userMessageId: PROMPT,
    startMs,
    model: { ownServer: {}, compacted: new Set(), mcpWait },
    isOthers: () => false,
  });
  const info = { id: PROMPT, sessionID: SESSION, role: "user", time: { created: startMs }, agent: "build" };
  const announced = readEvent({ type: "message.updated", properties: { info } }) as AgentEvent;
  return { reducer, announce: () => waitsIn(reducer.apply(announced, startMs + 10)) };
}

const SPAN_IDS = new Set<string>();

/** Returns the starts and ends of the span. */
function waitsIn(facts: readonly Fact[]): string[] {
  return facts.flatMap((fact) => {
    if (fact.type === "begin" && fact.name === "valet.agent.mcp_wait") {
      SPAN_IDS.add(fact.spanId);
      return `from ${fact.startMs} for ${fact.attributes["valet.mcp.server.name"]}`;
    }
    if (fact.type !== "end" || !SPAN_IDS.has(fact.spanId)) return [];
    const names = fact.attributes["valet.mcp.server.name"];
    const how = [fact.outcome, fact.errorType].filter((each) => each !== undefined).join(" ");
    return `until ${fact.endMs} ${how}${names === undefined ? "" : ` for ${names}`}`;
  });
}

const LATE = { docs: { status: "connected" }, silent: { status: "failed", error: "Request timed out" } };

test("the wait is open from the prompt on with the configured servers, and ends when OpenCode has connected", async () => {
  const { announce, settle } = promptDuringConnect();
  expect(announce()).toEqual(["from 1000 for docs, silent"]);
  expect(await settle(9000, LATE)).toEqual(["until 9000 ok for silent"]);
});

test("servers that only OpenCode knows are named once it has connected", async () => {
  const { announce, settle } = promptDuringConnect([]);
  expect(announce()).toEqual([]);
  expect(await settle(9000, LATE)).toEqual(["from 1000 for silent", "until 9000 ok for silent"]);
});

test("a wait that ended before OpenCode announced the prompt is not shown as open", async () => {
  const { announce, settle } = promptDuringConnect();
  expect(await settle(1005, LATE)).toEqual([]);
  expect(announce()).toEqual(["from 1000 for silent", "until 1005 ok for silent"]);
});

test("a prompt that was sent after OpenCode had connected waits for no server", async () => {
  const { announce, settle } = promptDuringConnect();
  await settle(900, LATE);
  expect(announce()).toEqual([]);
});

test.each<[string, Ending]>([
  ["aborted", { outcome: "aborted", errorType: "user_abort" }],
  ["cut off by the death of OpenCode", { outcome: "error", errorType: "opencode_died" }],
])("a wait that is %s ends so, then", async (_what, ending) => {
  const { reducer, announce, settle, exit } = promptDuringConnect();
  announce();
  exit();
  expect(await settle(4000, new Error("connection closed"))).toEqual([]);
  expect(waitsIn(reducer.close(4010, ending))).toEqual([
    `until 4010 ${ending.outcome} ${ending.errorType} for docs, silent`,
  ]);
});

test("a wait ends where OpenCode lives on and does not tell its servers: later prompts wait for none", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const { announce, settle, prompt } = promptDuringConnect();
  announce();
  const settled = settle(4000, new Error("HTTP 500"));
  await vi.advanceTimersByTimeAsync(1);
  // Nobody knows yet whether OpenCode lives on.
  expect(prompt(6000).announce()).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await settled).toEqual(["until 4000 ok for docs, silent"]);
  expect(prompt(5000).announce()).toEqual([]);
});

test("a wait that began as OpenCode had connected ends at once", async () => {
  const { settle, prompt } = promptDuringConnect();
  const { reducer, announce } = prompt(4000);
  expect(announce()).toEqual(["from 4000 for docs, silent"]);
  await settle(4000, LATE);
  expect(waitsIn(reducer.mcpConnected())).toEqual(["until 4000.5 ok"]);
});

test("a wait that an abort ends while OpenCode still connects ends then, and once", async () => {
  const { reducer, announce, settle } = promptDuringConnect();
  announce();
  reducer.cut({ outcome: "aborted", errorType: "user_abort" });
  expect(waitsIn(reducer.abortAnswered(3000))).toEqual(["until 3000 aborted user_abort for docs, silent"]);
  expect(await settle(9000, LATE)).toEqual([]);
});
