/**
 * Tests workflows through their results and spans, with real commands in a real shell. A stand-in for OpenCode plays recordings
 * (test/fake-opencode.ts); system tests use the real one.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_STEP_OUTPUT, type WorkflowStep, type WorkflowStepState } from "@valet/shared/protocol/workflow";
import type { ValetSpans } from "@valet/shared/spans";
import { attributesToObject, parseOpenSpan, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { FakeOpenCode, type FakeOptions, type RawEvent } from "../../test/fake-opencode.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { workflowDispatch } from "../../test/link-server.ts";
import { processesOf } from "../../test/processes.ts";
import type { AgentAsks } from "../agent/agent.ts";
import { OpenCodeAgent } from "../opencode/agent.ts";
import { REDACTED, SecretValues } from "../secrets/secret-values.ts";
import { NO_WALL, WallError } from "../wall/wall.ts";
import { killCommandOf, stepIdOf } from "./command.ts";
import { JobRunner, type JobRunnerOptions } from "./job-runner.ts";

const TRACE = "a".repeat(32);
const TRACEPARENT = `00-${TRACE}-${"b".repeat(16)}-01`;

/** With a long timeout, since processes start slowly on a busy machine. */
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 20_000 });

const disposables: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of disposables.splice(0)) await each[Symbol.asyncDispose]();
});

interface SetUpOptions extends Partial<JobRunnerOptions> {
  readonly fake?: FakeOptions;
  readonly enabled?: boolean;
}

function setUp({ fake = { onPrompt: () => 500 }, enabled = true, ...options }: SetUpOptions = {}) {
  const opencode = new FakeOpenCode(fake);
  disposables.push(opencode);
  const workspace = temporaryFolder();
  const spans: ReadableSpan[] = [];
  const processor = { onStart: (span: ReadableSpan) => spans.push(span), onEnd: () => {} };
  const tracer = new Tracer<ValetSpans>({ scope: { name: "test" }, processor, enabled });
  const told: { state: WorkflowStepState; span: string | undefined }[] = [];
  const asked: AgentAsks[] = [];
  const runner = new JobRunner({
    agent: new OpenCodeAgent(opencode),
    tracer,
    captureContent: false,
    defaultModel: "valet/default",
    stuckTurnMs: 10_000,
    workspace,
    env: { PATH: process.env.PATH },
    partIntervalMs: 0,
    onPart: () => {},
    onAsked: (request) => asked.push(request),
    onWorking: () => {},
    onStep: (_attemptId, state, span) => told.push({ state, span }),
    onCommand: async (_attemptId, state, span) => void told.push({ state, span }),
    ...options,
    limits: { abortTimeoutMs: 500, ...options.limits },
  });
  let attempts = 0;
  const start = (steps: WorkflowStep[], more: Parameters<typeof workflowDispatch>[1] = {}) => {
    const attemptId = `att_${crypto.randomUUID()}_${++attempts}`;
    return { attemptId, ...runner.execute(workflowDispatch(attemptId, { steps, traceparent: TRACEPARENT, ...more })) };
  };
  return { opencode, runner, workspace, spans, told, asked, start };
}

const attributesOf = (span: ReadableSpan | undefined) => attributesToObject([...(span?.attributes ?? [])]);

/** Returns the spans as lines `name outcome error`, each indented below its parent. */
function treeOf(spans: readonly ReadableSpan[]): string {
  const lines: string[] = [];
  const draw = (parentId: string | undefined, indent: string) => {
    for (const span of spans.filter(({ parent }) => parent?.spanId === parentId)) {
      const { "valet.outcome": outcome, ...why } = attributesOf(span);
      const errorType = why["error.type"] ?? why["valet.outcome.reason"] ?? "";
      lines.push(`${indent}${span.name} ${outcome} ${errorType}`.trimEnd());
      draw(span.context.spanId, `${indent}  `);
    }
  };
  draw("b".repeat(16), "");
  return lines.join("\n");
}

const outcomesOf = (steps: readonly WorkflowStepState[]) =>
  steps.map(({ outcome, errorType }) => [outcome, errorType].filter(Boolean).join(" "));

const command = (run: string, name = "run"): WorkflowStep => ({ name, run });
const prompt = (text: string, name = "ask"): WorkflowStep => ({ name, prompt: text });

describe("a workflow of commands", () => {
  test("runs them in order in the workspace, and reports the begin and end of each", async () => {
    const { start, workspace, told, spans } = setUp();
    const { openSpan, done } = start([
      command("pwd > where; echo one", "first"),
      command("cat where; echo two >&2", "second"),
    ]);
    expect(parseOpenSpan(openSpan ?? "")).toMatchObject({
      name: "valet.workflow.execute",
      parent: { spanId: "b".repeat(16) },
    });
    const result = await done;
    expect(result).toMatchObject({ outcome: "ok", summary: { modelCalls: 0, costUsd: 0 } });
    expect(result).not.toHaveProperty("errorType");
    expect(result.steps).toMatchObject([
      { index: 0, status: "done", outcome: "ok", exitCode: 0, output: "one\n" },
      { index: 1, status: "done", outcome: "ok", exitCode: 0, output: expect.stringContaining(`${workspace}\n`) },
    ]);
    expect(result.steps[1]?.output).toContain("two\n");
    expect(result.steps[0]?.durationMs).toBeGreaterThan(0);
    expect(told.map(({ state: { index, status } }) => `${index} ${status}`)).toEqual([
      "0 running",
      "0 done",
      "1 running",
      "1 done",
    ]);
    expect(parseOpenSpan(told[2]?.span ?? "")).toMatchObject({ name: "valet.workflow.step second" });
    expect(told[3]?.span).toBeUndefined();
    expect(treeOf(spans)).toBe(
      ["valet.workflow.execute ok", "  valet.workflow.step first ok", "  valet.workflow.step second ok"].join("\n"),
    );
    const [execute, first] = spans;
    expect(attributesOf(execute)).toMatchObject({
      "valet.workflow.name": "release",
      "valet.workflow.step_count": 2,
      "valet.workflow.failed_step_count": 0,
      "valet.queue.wait_ms": 3,
      "valet.queue.reason": "immediate",
      "valet.queue.mode": "followup",
    });
    expect(attributesOf(first)).toEqual({
      "valet.workflow.execution.id": attributesOf(execute)["valet.workflow.execution.id"],
      "valet.workflow.step.name": "first",
      "valet.workflow.step.index": 0,
      "valet.workflow.step.type": "command",
      "process.exit.code": 0,
      "valet.outcome": "ok",
    });
    expect(JSON.stringify(spans.map(attributesOf))).not.toMatch(/pwd|cat where|one|two/);
  });

  test("stops after a failure, and reports the remaining steps as skipped", async () => {
    const { start, workspace, spans, told } = setUp();
    const { done } = start([command("echo no; exit 3", "first"), command("touch ran", "second"), prompt("?", "third")]);
    const result = await done;
    expect(result).toMatchObject({ outcome: "error", errorType: "workflow_step_failed" });
    expect(outcomesOf(result.steps)).toEqual([
      "error command_failed",
      "skipped previous_step_failed",
      "skipped previous_step_failed",
    ]);
    expect(result.steps[0]).toMatchObject({ exitCode: 3, output: "no\n" });
    expect(told).toHaveLength(4);
    expect(existsSync(join(workspace, "ran"))).toBe(false);
    expect(treeOf(spans)).toBe(
      [
        "valet.workflow.execute error workflow_step_failed",
        "  valet.workflow.step first error command_failed",
        "  valet.workflow.step second skipped previous_step_failed",
        "  valet.workflow.step third skipped previous_step_failed",
      ].join("\n"),
    );
    expect(attributesOf(spans[0])["valet.workflow.failed_step_count"]).toBe(1);
  });

  test("a command whose wall cannot be built is not run, and its step says so", async () => {
    const wall = { ...NO_WALL, enter: () => Promise.reject(new WallError("bwrap: ENOENT")) };
    const { start, workspace } = setUp({ wall });
    const { steps } = await start([command("touch ran")]).done;
    expect(outcomesOf(steps)).toEqual(["error wall_failed"]);
    expect(steps[0]?.output).toBe("the wall around the command cannot be built: bwrap: ENOENT");
    expect(existsSync(join(workspace, "ran"))).toBe(false);
  });

  test("a command whose last program wrote a file that was too large was ended by the limit on the disk, also within a shell", async () => {
    const { start } = setUp();
    const write = "head -c 1000000 /dev/zero > large";
    const run = async (text: string) => outcomesOf((await start([command(`ulimit -f 1; ${text}`)]).done).steps);
    expect(await run(`exec ${write}`)).toEqual(["error sandbox_disk_full"]);
    expect(await run(`${write}; exit $?`)).toEqual(["error sandbox_disk_full"]);
  });

  test("continues after a failure if it is configured to, and fails nevertheless", async () => {
    const { start, workspace } = setUp();
    const result = await start([command("exit 1"), command("touch ran")], { onFailure: "continue" }).done;
    expect(result).toMatchObject({ outcome: "error", errorType: "workflow_step_failed" });
    expect(outcomesOf(result.steps)).toEqual(["error command_failed", "ok"]);
    expect(existsSync(join(workspace, "ran"))).toBe(true);
  });

  test("continues where an earlier attempt stopped", async () => {
    const { start, workspace, told } = setUp();
    const result = await start([command("touch first"), command("touch second")], { firstStep: 1 }).done;
    expect(result.steps.map(({ index }) => index)).toEqual([1]);
    expect(told.map(({ state }) => state.index)).toEqual([1, 1]);
    expect(existsSync(join(workspace, "first"))).toBe(false);
    expect(existsSync(join(workspace, "second"))).toBe(true);
  });

  test("that is dispatched twice is executed once", async () => {
    const { runner, workspace } = setUp();
    const dispatch = workflowDispatch("att_twice", { steps: [command("echo x >> runs")] });
    const [first, second] = [runner.execute(dispatch), runner.execute(dispatch)];
    expect(second).toBe(first);
    await first.done;
    expect(readFileSync(join(workspace, "runs"), "utf8")).toBe("x\n");
  });

  test("runs a command only once its beginning is on record, and not at all if it is aborted before", async () => {
    const records = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const asked: { index: number; isAborted: () => boolean }[] = [];
    const { start, runner, workspace, spans } = setUp({
      onCommand: (_attemptId, { index }, span, signal) => {
        expect(parseOpenSpan(span ?? "")?.name).toBe(`valet.workflow.step ${index}`);
        asked.push({ index, isAborted: () => signal.aborted });
        const { promise, resolve } = records[index] as PromiseWithResolvers<void>;
        signal.addEventListener("abort", () => resolve());
        return promise;
      },
    });
    const { attemptId, done } = start([command("touch first", "0"), command("touch second", "1")]);
    await eventually(() => expect(asked).toHaveLength(1));
    expect(readdirSync(workspace)).toEqual([]);
    records[0]?.resolve();
    await eventually(() => expect(asked.map(({ index }) => index)).toEqual([0, 1]));
    expect(readdirSync(workspace)).toEqual(["first"]);
    await runner.abort(attemptId, "user_abort");
    expect(outcomesOf((await done).steps)).toEqual(["ok", "aborted user_abort"]);
    expect(asked[1]?.isAborted()).toBe(true);
    expect(readdirSync(workspace)).toEqual(["first"]);
    expect(treeOf(spans)).toBe(
      [
        "valet.workflow.execute aborted user_abort",
        "  valet.workflow.step 0 ok",
        "  valet.workflow.step 1 aborted user_abort",
      ].join("\n"),
    );
  });

  test("waits for the previous job of its channel", async () => {
    const { start, workspace } = setUp();
    writeFileSync(join(workspace, "gate"), "");
    const first = start([command("while [ -e gate ]; do sleep 0.02; done; echo first >> order")]);
    const second = start([command("echo second >> order; rm -f gate")]);
    const other = start([command("echo other >> order; rm gate")], { channel: "other" });
    await Promise.all([first.done, second.done, other.done]);
    expect(readFileSync(join(workspace, "order"), "utf8")).toBe("other\nfirst\nsecond\n");
  });
});

describe("a command", () => {
  test("has its step's context, and no internal variables of Valet", async () => {
    const env = {
      PATH: process.env.PATH,
      HOME: "/home/agent",
      VALET_SANDBOX_ID: "sbx_1",
      VALET_RUNNER_URL: "canary",
      VALET_RUNNER_TOKEN: "canary",
      OTEL_EXPORTER_OTLP_HEADERS: "canary",
      ANTHROPIC_API_KEY: "canary",
      OPENCODE_SERVER_PASSWORD: "canary",
      VALET_MODEL_API_KEY: "canary",
      TRACEPARENT: "canary",
      BAGGAGE: "user=canary",
    };
    const { start, spans } = setUp({ env });
    const { done } = start([command("env")], { tracestate: "vendor=1" });
    const [step] = (await done).steps;
    const { context } = spans[1] as ReadableSpan;
    expect(step?.output).toContain(`TRACEPARENT=00-${TRACE}-${context.spanId}-01\n`);
    expect(step?.output).toContain("TRACESTATE=vendor=1\n");
    expect(step?.output).toContain("HOME=/home/agent\n");
    expect(step?.output).toContain("VALET_SANDBOX_ID=sbx_1\n");
    expect(step?.output).not.toContain("canary");
  });

  test("has where its programs send their traces, for its own span, if the session takes them", async () => {
    const { start, spans } = setUp({
      otlp: ({ spanId }) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://receiver/${spanId}` }),
    });
    const { done } = start([command("env")]);
    const [step] = (await done).steps;
    expect(step?.output).toContain(`OTEL_EXPORTER_OTLP_ENDPOINT=http://receiver/${spans[1]?.context.spanId}\n`);
  });

  test("has the caller's context if tracing is off", async () => {
    const { start, spans } = setUp({ enabled: false });
    const { openSpan, done } = start([command("env")]);
    expect(openSpan).toBeUndefined();
    expect((await done).steps[0]?.output).toContain(`TRACEPARENT=${TRACEPARENT}\n`);
    expect(spans).toEqual([]);
  });

  test("returns its output, of a long one the end", async () => {
    const { start } = setUp();
    const { done } = start([command("seq 1 100000"), command("printf '\\360\\237\\221\\213'"), command("true")]);
    const [much, wave, nothing] = (await done).steps;
    expect(much?.output).toHaveLength(MAX_STEP_OUTPUT);
    expect(much?.output).toMatch(/^….*\n99999\n100000\n$/s);
    expect(wave?.output).toBe("👋");
    expect(nothing).not.toHaveProperty("output");
  });

  test("returns its output without secrets, also where it is cut off", async () => {
    const secrets = new SecretValues();
    secrets.add("canary-of-the-model-key");
    const { start } = setUp({ secrets });
    const { done } = start([
      command("printf canary-of; sleep 0.1; printf -- '-the-model-key, and more'"),
      command(`printf canary-of-the-model-key; head -c ${MAX_STEP_OUTPUT - 8} /dev/zero | tr '\\0' x`),
    ]);
    const [pieces, cut] = (await done).steps;
    expect(pieces?.output).toBe(`${REDACTED}, and more`);
    expect(cut?.output).not.toMatch(/model|key/);
  });

  test("that a signal kills reports the signal", async () => {
    const { start, spans } = setUp();
    const { done } = start([command("kill -SEGV $$"), command("(kill -KILL $BASHPID); exit $?")], {
      onFailure: "continue",
    });
    const { steps } = await done;
    expect(outcomesOf(steps)).toEqual(["error command_failed", "error command_failed"]);
    // A shell reports a killed child process by its own exit code.
    expect(steps.map(({ exitCode, signal }) => [exitCode, signal])).toEqual([
      [undefined, "SIGSEGV"],
      [137, undefined],
    ]);
    const [, first, second] = spans.map(attributesOf);
    expect(first).toMatchObject({ "valet.process.signal": "SIGSEGV" });
    expect(first).not.toHaveProperty("process.exit.code");
    expect(second).toMatchObject({ "process.exit.code": 137 });
  });

  test("is killed on timeout, with its child processes", async () => {
    const { start } = setUp({ stuckTurnMs: 300 });
    const { attemptId, done } = start([command("setsid sleep 61.21 & sleep 61.22 & wait"), command("true")]);
    const { steps } = await done;
    expect(outcomesOf(steps)).toEqual(["error command_timeout", "skipped previous_step_failed"]);
    expect(steps[0]).not.toHaveProperty("exitCode");
    await eventually(() => expect(processesOf(attemptId)).toEqual([]));
  });

  test("ends with its shell; its background processes keep running, even if another command is killed", async () => {
    const { start, runner, workspace } = setUp();
    const { attemptId, done } = start([command("sleep 61.23 & echo done"), command("touch begun; sleep 61.24")]);
    await eventually(() => expect(existsSync(join(workspace, "begun"))).toBe(true));
    await runner.abort(attemptId, "user_abort");
    expect((await done).steps).toMatchObject([{ outcome: "ok", output: "done\n" }, { outcome: "aborted" }]);
    expect(processesOf(attemptId)).toHaveLength(1);
    killCommandOf(stepIdOf(attemptId, 0));
    await eventually(() => expect(processesOf(attemptId)).toEqual([]));
  });

  test("that cannot be started fails its step", async () => {
    const { start } = setUp({ workspace: "/nowhere/at/all" });
    expect(outcomesOf((await start([command("true")]).done).steps)).toEqual(["error command_failed"]);
  });
});

describe("an abort of a workflow", () => {
  test.each([
    ["user_abort", "aborted", "aborted"],
    ["steered", "aborted", "superseded"],
    ["session_terminated", "aborted", "aborted"],
    ["stuck_turn", "error", "error"],
  ] as const)("by %s kills the command and begins no further step", async (reason, outcome, spanOutcome) => {
    const { start, runner, workspace, spans } = setUp();
    const { attemptId, done } = start([command("touch begun; sleep 61.24"), command("touch ran")], {
      onFailure: "continue",
    });
    await eventually(() => expect(existsSync(join(workspace, "begun"))).toBe(true));
    await runner.abort(attemptId, reason);
    const result = await done;
    expect(result).toMatchObject({ outcome, errorType: reason });
    expect(outcomesOf(result.steps)).toEqual([`${outcome} ${reason}`]);
    expect(treeOf(spans)).toBe(
      [`valet.workflow.execute ${spanOutcome} ${reason}`, `  valet.workflow.step run ${spanOutcome} ${reason}`].join(
        "\n",
      ),
    );
    expect(existsSync(join(workspace, "ran"))).toBe(false);
    expect(processesOf(attemptId)).toEqual([]);
  });

  test("before its first step begins no step", async () => {
    const { start, runner, workspace } = setUp();
    const first = start([command("touch begun; sleep 61.25")]);
    const second = start([command("touch ran")]);
    await eventually(() => expect(existsSync(join(workspace, "begun"))).toBe(true));
    await runner.abort(second.attemptId, "user_abort");
    await runner.abort(first.attemptId, "user_abort");
    expect(await second.done).toMatchObject({ outcome: "aborted", steps: [] });
    expect(existsSync(join(workspace, "ran"))).toBe(false);
  });

  test("while the agent works aborts the agent, too", async () => {
    const isIdle = ({ properties }: RawEvent) => properties.status?.type === "idle";
    const { start, runner, opencode, spans } = setUp({
      fake: { onPrompt: (given) => void given.play("simple", { until: isIdle }) },
    });
    const { attemptId, done } = start([prompt("Go."), command("true")]);
    await eventually(() => expect(spans.some(({ name }) => name.startsWith("execute_tool"))).toBe(true));
    await runner.abort(attemptId, "user_abort");
    const result = await done;
    expect(result).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
    expect(outcomesOf(result.steps)).toEqual(["aborted user_abort"]);
    expect(opencode.calls.map(({ path }) => path).filter((path) => path.endsWith("/abort"))).toHaveLength(1);
  });
});

describe("a prompt in a workflow", () => {
  const fake: FakeOptions = { onPrompt: (given) => void given.play("simple") };

  test("runs in the channel's session of the agent, with spans below its step; the answer is the step's output", async () => {
    const { start, opencode, spans } = setUp({ fake });
    const { done } = start([prompt("First.", "one"), prompt("Second.", "two"), command("true", "three")], {
      models: ["a/b"],
      continuationContext: "What went before.",
    });
    const result = await done;
    expect(result).toMatchObject({ outcome: "ok", opencodeSessionId: opencode.prompts[0]?.sessionId });
    expect(outcomesOf(result.steps)).toEqual(["ok", "ok", "ok"]);
    expect(result.steps[0]?.output).toBeTruthy();
    expect(opencode.prompts.map(({ texts }) => texts)).toEqual([["What went before.", "First."], ["Second."]]);
    expect(new Set(opencode.prompts.map(({ sessionId }) => sessionId)).size).toBe(1);
    expect(opencode.prompts.map(({ model }) => model)).toEqual(["a/b", "a/b"]);
    // The sum of both prompts, which play the same recording.
    expect(result.summary).toMatchObject({
      modelCalls: 8,
      toolCalls: 6,
      tokens: { input: 2000, output: 150 },
      model: "a/b",
    });
    const lines = treeOf(spans).split("\n");
    expect(lines.filter((line) => /^ {0,4}\S/.test(line))).toEqual([
      "valet.workflow.execute ok",
      "  valet.workflow.step one ok",
      "    invoke_agent build ok",
      "    valet.turn.finalize ok",
      "  valet.workflow.step two ok",
      "    invoke_agent build ok",
      "    valet.turn.finalize ok",
      "  valet.workflow.step three ok",
    ]);
    expect(lines.some((line) => line.startsWith("      chat "))).toBe(true);
    for (const { traceparent } of opencode.prompts) expect(traceparent).toContain(TRACE);
    expect(JSON.stringify(spans.map(attributesOf))).not.toMatch(/First\.|Second\.|went before/);
  });

  test("may request a permission, and receives the reply", async () => {
    let rest = () => {};
    const replies: string[] = [];
    const { start, runner, asked } = setUp({
      fake: {
        onPrompt(given) {
          rest = given.play("permission", { until: ({ type }) => type === "permission.replied" });
        },
        onPermissionReply(_id, reply) {
          replies.push(reply);
          rest();
        },
      },
    });
    const { attemptId, done } = start([prompt("List.")]);
    await eventually(() => expect(asked).toMatchObject([{ attemptId, permission: "bash" }]));
    const [question] = asked;
    if (question?.type !== "permission-asked") throw new Error("nothing was asked");
    await runner.reply({ type: "permission-reply", permissionId: question.permissionId, reply: "once" });
    expect(await done).toMatchObject({ outcome: "ok" });
    expect(replies).toEqual(["once"]);
  });

  test("that fails also fails its step and the workflow", async () => {
    const { start } = setUp({ fake: { onPrompt: () => 500 } });
    const result = await start([prompt("Go."), command("true")]).done;
    expect(result).toMatchObject({ outcome: "error", errorType: "workflow_step_failed" });
    expect(outcomesOf(result.steps)).toEqual(["error opencode_error", "skipped previous_step_failed"]);
  });
});
