/**
 * Programs that the real agent's commands run send their traces: a test suite with OpenTelemetry's own SDK for Node, a program with
 * that for Python (which speaks protobuf), and a shell script with curl. Where the SDK for Python or curl cannot be had, programs
 * without them take their place, which the test's name says.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TraceSpan } from "../packages/cli/src/trace-tree.ts";
import { waitForMessage } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import type { MessageView } from "../packages/shared/src/protocol/session-view.ts";
import { makeRepository } from "./agent-otlp/repository.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { ScriptedSystem } from "./scripted-system.ts";
import { runCli } from "./valet-up.ts";

const TIMEOUT_MS = 300_000;
/** From the end of a message to its last span at the backend. */
const SPANS_TIMEOUT_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), "valet-agent-otlp-"));
const repository = join(folder, "repo");
const { courses: COURSES, protobufBy, jsonBy } = await makeRepository(repository);
const commands = COURSES.flatMap(({ command }) => [command, `HONOURS_CONTEXT=1 ${command}`]);
const calls = commands.map((command) => [{ tool: "bash", arguments: { command } }]);
/** No span holds it. */
const TITLE = "canary of the title";
/** What a user of the suite sees: its results, without the times. */
const SUITE = `${commands[0]} | grep -E '^(#|ℹ) (tests|pass|fail)' ; env | grep -c ^OTEL_`;

const scenario = parseScenario(
  JSON.stringify({
    name: "agent-otlp",
    rules: [
      {
        name: "suite",
        when: { userContains: "[suite]" },
        turn: [[{ tool: "bash", arguments: { command: SUITE } }], [{ text: "Done." }]],
      },
      { name: "all", when: { userContains: "[all]" }, turn: [...calls, [{ text: "Done." }]] },
    ],
  }),
  "agent-otlp",
);

let receiver: TraceReceiver;
let system: ScriptedSystem;
/** A session whose commands' programs send their traces, as the system's default says. */
let sessionId: string;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  const variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: "200",
    VALET_AGENT_OTLP: "on",
  };
  system = await ScriptedSystem.start(scenario, variables);
  ({ id: sessionId } = await system.api.createSession({ repoUrl: `file://${repository}`, title: TITLE }));
}, TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  await receiver?.close();
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

async function say(content: string): Promise<MessageView> {
  const { messageId } = await system.api.sendMessage(sessionId, { content });
  const ended = await waitForMessage(system.api, sessionId, messageId, () => {}, TIMEOUT_MS);
  expect(ended.outcome).toBe("ok");
  return ended;
}

const outputsOf = (message: { readonly parts?: readonly object[] }) =>
  (message.parts ?? []).flatMap((part) => ("output" in part ? [String(part.output)] : []));

test(
  `spans of the SDK for Node, of ${protobufBy}, and of ${jsonBy} hang below the right tool call, in the same trace at the backend, whether or not their program takes up the context`,
  async () => {
    const ended = await say("[all]");
    const traceId = ended.traceId as string;
    const inTrace = () => [...receiver.spansById().values()].filter((span) => span.traceId === traceId);
    const expected = 2 * COURSES.reduce((sum, { tree }) => sum + Object.keys(tree).length, 0);
    const foreign = () => inTrace().filter(({ attributes }) => attributes["valet.adopted"] === true);
    const message = `the programs said ${JSON.stringify(outputsOf(ended))}`;
    await expect.poll(() => foreign().length, { timeout: SPANS_TIMEOUT_MS, message }).toBeGreaterThanOrEqual(expected);
    await receiver.until(() => inTrace().some(({ name }) => name === "valet.prompt"));
    const count = () => inTrace().filter(({ name }) => name === "execute_tool bash").length;
    await receiver.until(() => count() >= commands.length);
    const spans = inTrace();
    expect(foreign()).toHaveLength(expected);
    const tools = spans.filter(({ name }) => name === "execute_tool bash").sort((a, b) => a.startMs - b.startMs);
    expect(tools).toHaveLength(commands.length);
    for (const [index, tool] of tools.entries()) {
      const { tree, service } = COURSES[Math.floor(index / 2)]!;
      const honours = index % 2 === 1;
      const below = descendantsOf(tool, spans);
      const nameOf = new Map([...below, tool].map(({ spanId, name }) => [spanId, name === tool.name ? "tool" : name]));
      expect(Object.fromEntries(below.map(({ name, parentSpanId = "" }) => [name, nameOf.get(parentSpanId)]))).toEqual(
        tree,
      );
      for (const span of below) {
        expect(span.service).toBe(service);
        expect(span.attributes).toMatchObject({ "valet.session.id": sessionId, "gen_ai.conversation.id": sessionId });
        const isRoot = span.parentSpanId === tool.spanId;
        expect(span.attributes["valet.adopted.trace_id"] === undefined).toBe(honours || !isRoot);
        expect(span.startMs).toBeGreaterThanOrEqual(tool.startMs);
        expect(span.endMs).toBeLessThanOrEqual((tool.endMs ?? 0) + 1);
      }
    }
    expect(JSON.stringify([...receiver.spansById().values()])).not.toContain(TITLE);
    // The time of the programs is their tools'.
    const why = await system.api.why(sessionId, "message", ended.id);
    expect(JSON.stringify(why)).not.toMatch(/node suite|python program|by hand|shell script/);
    const bash = why.time.parts.find(({ name }) => name === "tool");
    expect(bash?.detail).toBe("bash");
  },
  TIMEOUT_MS,
);

test(
  "an instrumented suite gives the same results with and without it, as the command that starts the session says",
  async () => {
    const lines = (message: MessageView) => outputsOf(message).join("\n").trim();
    const on = lines(await say("[suite]"));
    const args = ["prompt", "[suite]", "--repo", repository, "--agent-otlp", "off", "--json"];
    const { code, stdout, stderr } = await runCli(["--state", system.stateDir, ...args]);
    expect(code, stderr).toBe(0);
    const without = JSON.parse(stdout) as { sessionId: string; message: MessageView };
    expect((await system.api.session(without.sessionId)).agentOtlp).toBe(false);
    const off = lines(without.message);
    expect(on).toMatch(/tests 2\n.*pass 1\n.*fail 1\n3$/);
    expect(off).toBe(on.replace(/3$/, "0"));
  },
  TIMEOUT_MS,
);

function descendantsOf(top: TraceSpan, spans: readonly TraceSpan[]): TraceSpan[] {
  const children = spans.filter(({ parentSpanId }) => parentSpanId === top.spanId);
  return children.flatMap((child) => [child, ...descendantsOf(child, spans)]);
}
