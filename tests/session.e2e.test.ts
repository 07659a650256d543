/**
 * The whole system on real parts: the Worker in workerd, the sandbox broker with real processes, the runner in Bun, the
 * real OpenCode with its tools on a real git repository. Only the model is scripted. It plays the demo once, and then a
 * course in which the agent gives work to a child session. The tests examine the results at the backend, in the API and
 * in the processes.
 */
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiClient } from "../packages/cli/src/api-client.ts";
import { makeDemoRepository } from "../packages/cli/src/demo/demo-repository.ts";
import { findFaults } from "../packages/cli/src/demo/expected-spans.ts";
import { type DemoResult, runDemo } from "../packages/cli/src/demo/run-demo.ts";
import { type System, startSystem } from "../packages/cli/src/system/system.ts";
import type { TraceSpan } from "../packages/cli/src/trace-tree.ts";
import { answerText, waitFor, waitForMessage, waitForStatus } from "../packages/cli/src/wait.ts";
import type { FamilyView } from "../packages/shared/src/protocol/session-api.ts";
import type { MessageView } from "../packages/shared/src/protocol/session-view.ts";
import { WorkflowView } from "../packages/shared/src/protocol/session-view.ts";
import { uncatalogued } from "./catalogued.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { concerns, livingProcesses, readProcess } from "./processes.ts";
import { runCli } from "./valet-up.ts";

const OTLP_KEY = "canary-otlp-key";
/** Texts of people, model, files and tools in the course. */
const CONTENT = {
  prompt: "Make the failing test pass",
  reply: "Both tests pass",
  reasoning: "I should look at the test",
  "file content": "someone without a name is a stranger",
  "tool input": "oldString",
  "tool output": "greets by name",
  command: "canary-command",
  "command output": "canary-output",
  "task of a child session": "Count the tests",
  "title of a child session": "Counting",
  "answer of a child session": "two of them",
  "report of a child session": "has completed",
};
/** The clocks of this machine's processes agree to the millisecond; one of them has no fractions. */
const CLOCK_MS = 2;
/** Work that a request or a dispatch triggers without waiting for it. */
const HANDED_OVER = /^valet\.(prompt|workflow|turn|workflow\.execute|runner\.agent_warm_up)$/;
const WORKFLOW = {
  name: "check",
  steps: [
    { name: "tests", prompt: "Run the tests." },
    { name: "context", run: "echo canary-output; : canary-command; env; git status --porcelain" },
  ],
};

let receiver: TraceReceiver;
let system: System;
let stateDir: string;
let repository: { folder: string; url: string };
let result: DemoResult;
/** The spans of the demo. */
let spans: TraceSpan[];
/** The later spans: the child session's course, and the end of both sessions. */
let familySpans: TraceSpan[];
let family: FamilyView;
let report: MessageView;
/** The file that the agent edited, read from its sandbox afterwards. */
let mendedFile: string;
/** The environments of every process of the sandbox, read while they ran. */
let environments: string[];
/** The result and the output of `valet workflow` on {@link WORKFLOW}. */
let command: { code: number | null; workflow: WorkflowView; stderr: string };

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  repository = await makeDemoRepository();
  stateDir = mkdtempSync(join(tmpdir(), "valet-e2e-"));
  system = await startSystem({
    stateDir,
    scenario: "demo",
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_HEADERS: `x-key=${OTLP_KEY}`,
      OTEL_BSP_SCHEDULE_DELAY: "200",
    },
  });
  const api = new ApiClient(system);
  const log: string[] = [];
  result = await runDemo(api, repository.url, (line) => log.push(line));
  command = await runWorkflow();
  const [file] = globSync("broker/sandboxes/*/workspace/src/greet.js", { cwd: stateDir });
  mendedFile = readFileSync(join(stateDir, file as string), "utf8");
  const isComplete = (all: TraceSpan[]) => {
    const isWorkflowThere = all.some(({ name }) => name === "valet.workflow");
    return findFaults(tracesOf(all)).length === 0 && isWorkflowThere && orphansIn(all).length === 0;
  };
  spans = await waitFor("the spans at the backend", async () => receiver.spans(), isComplete, 60_000);

  report = await giveWorkAway(api, result.sessionId);
  environments = sandboxEnvironments();
  const isCounted = ({ sessions }: FamilyView) => sessions.every(({ turns }) => turns > 0);
  family = await waitFor("the family's costs", () => api.family(result.sessionId), isCounted, 60_000);
  await api.change(result.sessionId, "terminate");
  for (const { id } of family.sessions) await waitForStatus(api, id, ["terminated"], 60_000);
  const known = new Set(spans.map(({ spanId }) => spanId));
  const later = async () => receiver.spans().filter(({ spanId }) => !known.has(spanId));
  const isWhole = (all: TraceSpan[]) => {
    const ends = all.filter(({ name }) => name === "valet.session.terminate");
    return ends.length === 2 && orphansIn(all).length === 0;
  };
  familySpans = await waitFor("the ends at the backend", later, isWhole, 60_000);
}, 300_000);

/**
 * Has the agent spawn a session, which works in a sandbox of its own. @returns its report, once the parent's agent has
 * answered
 */
async function giveWorkAway(api: ApiClient, sessionId: string): Promise<MessageView> {
  const { messageId } = await api.sendMessage(sessionId, { content: "Ask another session to count the tests." });
  await waitForMessage(api, sessionId, messageId, () => {}, 60_000);
  const findReport = async () => (await api.messages(sessionId)).find(({ source }) => source === "system");
  const found = await waitFor("the child's report", findReport, (message) => message?.status === "done", 120_000);
  return found as MessageView;
}

/** Runs {@link WORKFLOW} by the command, as a person would. */
async function runWorkflow(): Promise<typeof command> {
  const args = ["workflow", result.sessionId, "-", "--json", "--url", system.url, "--token", system.token];
  const { stdout, stderr, code } = await runCli(args, { input: JSON.stringify(WORKFLOW) });
  return { code, stderr, workflow: WorkflowView.parse(JSON.parse(stdout).workflow) };
}

afterAll(async () => {
  await system?.stop();
  await receiver?.close();
  for (const folder of [stateDir, repository?.folder]) if (folder) rmSync(folder, { recursive: true, force: true });
});

function tracesOf(spans: readonly TraceSpan[]): TraceSpan[][] {
  return [...Map.groupBy(spans, ({ traceId }) => traceId).values()];
}

/** Returns the spans whose parent is not among them. */
function orphansIn(spans: readonly TraceSpan[]): TraceSpan[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  return spans.filter(({ parentSpanId }) => parentSpanId !== undefined && !ids.has(parentSpanId));
}

function named(name: string): TraceSpan[] {
  return spans.filter((span) => span.name === name);
}

/** Returns the only trace with a span of this name. */
function traceOf(name: string): TraceSpan[] {
  const [span, ...others] = named(name);
  expect(others).toEqual([]);
  return spans.filter(({ traceId }) => traceId === span?.traceId);
}

function parentOf(span: TraceSpan): TraceSpan | undefined {
  return spans.find(({ spanId }) => spanId === span.parentSpanId);
}

function sandboxEnvironments(): string[] {
  return livingProcesses()
    .filter((pid) => concerns(pid, stateDir))
    .map((pid) => readProcess(pid, "environ"))
    .filter((environment) => environment.includes("VALET_SANDBOX_ID="));
}

describe("the agent's work", () => {
  test("is real: the file in its sandbox was fixed, and still is after the hibernation", () => {
    expect(mendedFile).toContain("stranger");
    expect(mendedFile).toMatch(/return `Hello, /);
  });

  test("stays in its sandbox: the cloned repository is unchanged", () => {
    const status = execFileSync("git", ["status", "--porcelain"], { cwd: repository.folder, encoding: "utf8" });
    expect(status).toBe("");
    expect(readFileSync(join(repository.folder, "src/greet.js"), "utf8")).not.toMatch(/return `Hello, /);
  });
});

describe("a workflow", () => {
  test("ran step by step in the agent's workspace, and the command reports it", () => {
    expect(command.workflow).toMatchObject({ name: "check", status: "done", outcome: "ok", attempts: 1 });
    const [tests, context] = command.workflow.steps;
    expect(tests).toMatchObject({ type: "prompt", outcome: "ok", output: expect.stringContaining(CONTENT.reply) });
    expect(context).toMatchObject({ type: "command", outcome: "ok", exitCode: 0 });
    expect(context?.output).toContain(" M src/greet.js\n");
    expect(command.stderr).toMatch(/^1\/2 tests: ok, \d/m);
    expect(command.code).toBe(0);
  });

  test("gives its commands the context of their step, and none of Valet's keys, tokens or addresses", () => {
    const output = command.workflow.steps[1]?.output ?? "";
    const [step] = named("valet.workflow.step context");
    expect(output).toMatch(new RegExp(`^TRACEPARENT=00-${step?.traceId}-${step?.spanId}-0[13]$`, "m"));
    expect(output).toContain(`VALET_SESSION_ID=${result.sessionId}`);
    expect(output).not.toMatch(/vlt_|^(?:OTEL_|OPENCODE_|VALET_RUNNER_|VALET_MODEL_|\w+_API_KEY=)/m);
  });
});

describe("the traces at the backend", () => {
  test("have every expected span, none open, none without a duration, none an error", () => {
    expect(findFaults(tracesOf(spans))).toEqual([]);
  });

  test("are one per operation; a request that only triggers one has a trace of its own", () => {
    const operations = /^valet\.(prompt|workflow|session\.terminate|sandbox\.(spawn|restore|hibernate))$/;
    for (const trace of tracesOf(spans)) {
      const found = trace.filter(({ name }) => operations.test(name));
      if (trace.length === 1) expect(trace[0]?.name).toMatch(/^POST \/api\/sessions|^valet\.turn\.changes$/);
      else expect(found).toHaveLength(1);
    }
  });

  test("have each span once", () => {
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
  });

  test("have no missing parent", () => {
    expect(orphansIn(spans).map(({ name }) => name)).toEqual([]);
  });

  test("have the hierarchy of the specification", () => {
    const parents: Record<string, string> = {
      "valet.prompt": "POST /api/sessions/:id/messages",
      "valet.prompt.dispatch": "valet.prompt",
      "valet.turn": "valet.prompt.dispatch",
      "valet.workflow": "POST /api/sessions/:id/workflows",
      "valet.workflow.dispatch": "valet.workflow",
      "valet.workflow.execute": "valet.workflow.dispatch",
      "valet.workflow.step tests": "valet.workflow.execute",
      "valet.workflow.step context": "valet.workflow.execute",
      "valet.runner.connect": "valet.runner.bootstrap",
      "valet.runner.opencode_start": "valet.runner.bootstrap",
      "valet.runner.agent_warm_up": "valet.runner.opencode_start",
    };
    for (const [child, parent] of Object.entries(parents)) {
      expect(named(child).length, child).toBeGreaterThan(0);
      for (const span of named(child)) expect(parentOf(span)?.name, child).toBe(parent);
    }
    const agents = spans.filter(({ name }) => name.startsWith("invoke_agent "));
    expect(agents.map((span) => parentOf(span)?.name).sort()).toEqual([
      "valet.turn",
      "valet.turn",
      "valet.turn",
      "valet.workflow.step tests",
    ]);
    for (const span of named("valet.queue.wait")) expect(parentOf(span)?.name).toMatch(/^valet\.(prompt|workflow)$/);
    for (const span of named("valet.turn.finalize")) {
      expect(parentOf(span)?.name).toMatch(/^valet\.(turn|workflow\.step tests)$/);
    }
    for (const span of spans.filter(({ name }) => /^(chat|execute_tool) /.test(name))) {
      expect(parentOf(span)?.name).toMatch(/^invoke_agent /);
    }
  });

  test("are nested in time: a child starts before its parent ends, and ends within it unless it was handed over", () => {
    const all = [...spans, ...familySpans];
    for (const span of all) {
      const parent = all.find(({ spanId }) => spanId === span.parentSpanId);
      if (parent === undefined) continue;
      const what = `${span.name} in ${parent.name}`;
      expect(span.startMs, `${what} begins`).toBeGreaterThanOrEqual(parent.startMs - CLOCK_MS);
      expect(span.startMs, `${what} begins`).toBeLessThanOrEqual((parent.endMs as number) + CLOCK_MS);
      if (HANDED_OVER.test(span.name)) continue;
      expect(span.endMs, `${what} ends`).toBeLessThanOrEqual((parent.endMs as number) + CLOCK_MS);
    }
  });

  test("have the session on every span", () => {
    for (const { name, attributes } of spans) {
      expect(attributes, name).toMatchObject({
        "valet.session.id": result.sessionId,
        "session.id": result.sessionId,
        "gen_ai.conversation.id": result.sessionId,
      });
    }
  });

  test("have every attribute that the catalogue requires, and no others", () => {
    expect([...new Set(uncatalogued(spans))]).toEqual([]);
  });

  test("have an outcome on every operation", () => {
    const ended =
      /^valet\.((?:prompt|workflow)(?:\.dispatch)?|turn|workflow\.execute|workflow\.step .*|sandbox\.(spawn|restore|hibernate|terminate))$/;
    for (const span of spans.filter(({ name }) => ended.test(name) || name.startsWith("invoke_agent "))) {
      expect(span.attributes["valet.outcome"], span.name).toBe("ok");
    }
  });

  test("have links between causes and effects", () => {
    const restore = traceOf("valet.sandbox.restore").find(({ name }) => name === "valet.sandbox.restore");
    const last = named("valet.prompt")
      .sort((a, b) => a.startMs - b.startMs)
      .at(-1);
    const hibernate = named("valet.sandbox.hibernate")[0];
    expect(restore?.links).toEqual(
      expect.arrayContaining([
        { type: "caused_by", traceId: last?.traceId },
        { type: "follows", traceId: hibernate?.traceId },
      ]),
    );
  });

  test("come from all three services", () => {
    expect([...new Set(spans.map(({ service }) => service))].sort()).toEqual([
      "valet-broker",
      "valet-runner",
      "valet-worker",
    ]);
  });

  test("have tokens that include the cache, and a wait of the first turn for its sandbox", () => {
    const chats = spans.filter(({ name }) => name.startsWith("chat "));
    expect(chats.map(({ attributes }) => attributes["gen_ai.usage.input_tokens"])).toContain(8900);
    const waits = named("valet.turn").map(({ attributes }) => attributes["valet.queue.reason"]);
    expect(waits).toContain("sandbox_starting");
  });
});

describe("a child session", () => {
  const spansOf = (sessionId: string) =>
    familySpans.filter(({ attributes }) => attributes["valet.session.id"] === sessionId);
  const childId = () => family.sessions[1]?.id as string;
  const only = (sessionId: string, name: string): TraceSpan => {
    const [span, ...others] = spansOf(sessionId).filter((each) => each.name === name);
    expect([span?.name, others]).toEqual([name, []]);
    return span as TraceSpan;
  };

  test("worked in a sandbox of its own, and its parent's agent answered its report", () => {
    expect(report).toMatchObject({ source: "system", outcome: "ok", channel: "main" });
    expect(report.content).toContain(childId());
    expect(report.content).toContain("It has two of them.");
    expect(answerText(report)).toBe("The other session has counted them.");
    const [tool] = spansOf(childId()).filter(({ name }) => name === "execute_tool bash");
    expect(tool?.attributes["valet.outcome"]).toBe("ok");
    expect(only(childId(), "valet.sandbox.spawn").attributes["valet.outcome"]).toBe("ok");
    expect(spansOf(childId()).map(({ name }) => name)).toContain("valet.runner.git_clone");
  });

  test("is listed below its parent, with its costs in the total", () => {
    const [parent, child, ...others] = family.sessions;
    expect(others).toEqual([]);
    expect(child).toMatchObject({ parentSessionId: parent?.id, depth: 1, title: "Counting", turns: 1 });
    expect(child?.tokens_input).toBeGreaterThan(0);
    expect(family.total.tokens_input).toBe((parent?.tokens_input ?? 0) + (child?.tokens_input ?? 0));
    expect(family.total.turns).toBe((parent?.turns ?? 0) + 1);
  });

  test("is linked with its parent's traces in both directions", () => {
    const parentId = result.sessionId;
    const toolCall = only(parentId, "execute_tool spawn_session");
    const spawn = only(parentId, "valet.child_session.spawn");
    expect(spawn).toMatchObject({ traceId: toolCall.traceId, parentSpanId: toolCall.spanId });
    expect(spawn.attributes["valet.child_session.id"]).toBe(childId());
    const first = only(childId(), "valet.prompt");
    expect(first.parentSpanId).toBeUndefined();
    expect(first.links).toEqual([{ type: "spawned_by", traceId: toolCall.traceId }]);
    expect(only(childId(), "valet.sandbox.spawn").links).toEqual([{ type: "caused_by", traceId: spawn.traceId }]);
    const reportSpan = spansOf(childId()).find(
      ({ name, attributes }) =>
        name === "valet.child_session.report" && attributes["valet.child_session.event"] === "completed",
    );
    expect(reportSpan).toMatchObject({
      parentSpanId: undefined,
      links: [{ type: "caused_by", traceId: first.traceId }],
    });
    const answered = spansOf(parentId).find(
      ({ name, attributes }) => name === "valet.prompt" && attributes["valet.message.source"] === "system",
    );
    expect(answered?.links).toEqual([{ type: "caused_by", traceId: reportSpan?.traceId }]);
    expect(answered?.attributes["valet.child_session.id"]).toBe(childId());
  });

  test("ended with its parent", () => {
    const [own, parents] = [childId(), result.sessionId].map((id) => only(id, "valet.session.terminate"));
    expect(own?.attributes["valet.terminate.reason"]).toBe("parent_session_terminated");
    expect(own?.links).toContainEqual({ type: "caused_by", traceId: parents?.traceId });
  });

  test("has every span's parent, no open span and no duplicate", () => {
    expect(new Set(familySpans.map(({ spanId }) => spanId)).size).toBe(familySpans.length);
    expect(orphansIn(familySpans).map(({ name }) => name)).toEqual([]);
    expect(familySpans.filter(({ endMs }) => endMs === undefined)).toEqual([]);
  });
});

describe("privacy", () => {
  test.each(Object.entries(CONTENT))("no exported byte contains %s", (_what, words) => {
    expect(receiver.deliveries.filter(({ text }) => text.includes(words))).toEqual([]);
  });

  test("no exported byte contains the telemetry key or a token", () => {
    for (const { text } of receiver.deliveries) {
      expect(text).not.toContain(OTLP_KEY);
      expect(text).not.toMatch(/vlt_/);
    }
  });

  test("the backend received the key, the sandbox did not", () => {
    expect(receiver.deliveries.every(({ headers }) => headers["x-key"] === OTLP_KEY)).toBe(true);
    // At least the supervisor's entrypoint and OpenCode, of both sessions.
    expect(environments.length).toBeGreaterThanOrEqual(4);
    for (const environment of environments) {
      expect(environment).not.toContain(OTLP_KEY);
      expect(environment).not.toMatch(/vlt_|OTEL_EXPORTER/);
    }
  });
});

test("no process of the sandbox runs any more", () => {
  expect(sandboxEnvironments()).toEqual([]);
});
