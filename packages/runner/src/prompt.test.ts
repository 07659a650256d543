/**
 * Tests turns through their results and spans. A stand-in for OpenCode immediately plays recordings of the real one's events
 * (test/fake-opencode.ts). opencode/real.test.ts tests that the real one behaves as recorded, and durations.
 */

import { PromptDispatch } from "@valet/shared/protocol/dispatch";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { ValetSpans } from "@valet/shared/spans";
import {
  type AttributeValue,
  attributesToObject,
  formatTraceparent,
  parseOpenSpan,
  type ReadableSpan,
  StatusCode,
  Tracer,
} from "@valet/shared/tracing";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { FakeOpenCode, type FakeOptions, type FakePrompt, type RawEvent, type Rest } from "../test/fake-opencode.ts";
import type { AgentAsks } from "./agent/agent.ts";
import { JobRunner, type JobRunnerOptions } from "./jobs/job-runner.ts";
import { OpenCodeAgent } from "./opencode/agent.ts";
import { OpenCodeClient } from "./opencode/client.ts";

const disposables: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of disposables.splice(0)) await each[Symbol.asyncDispose]();
});

function setUp(fake: FakeOptions, options: Partial<JobRunnerOptions> = {}) {
  const opencode = new FakeOpenCode(fake);
  disposables.push(opencode);
  const started: ReadableSpan[] = [];
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer<ValetSpans>({
    scope: { name: "test" },
    processor: { onStart: (span) => started.push(span), onEnd: (span) => ended.push(span) },
  });
  const parts: [attemptId: string, part: MessagePart][] = [];
  const asked: AgentAsks[] = [];
  const quiet: string[] = [];
  const runner = new JobRunner({
    agent: new OpenCodeAgent(opencode),
    tracer,
    captureContent: false,
    defaultModel: "valet/default",
    stuckTurnMs: 10_000,
    partIntervalMs: 0,
    workspace: "/nowhere",
    env: {},
    onStep: () => {},
    onPart: (attemptId, part) => parts.push([attemptId, part]),
    onAsked: (request) => asked.push(request),
    onWorking: (attemptId) => quiet.push(attemptId),
    ...options,
    limits: { abortTimeoutMs: 500, ...options.limits },
  });
  return { opencode, runner, started, ended, parts, asked, quiet };
}

const isIdle = ({ properties }: RawEvent) => properties.status?.type === "idle";

/** The answer of the recording `simple`. */
const SIMPLE_TREE = `
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool read ok
    chat scripted-1 ok
    execute_tool edit ok
    chat scripted-1 ok
    execute_tool bash ok
    chat scripted-1 ok
  valet.turn.finalize ok`;

let dispatches = 0;

function dispatch(fields: Partial<PromptDispatch> = {}): PromptDispatch {
  const number = ++dispatches;
  return PromptDispatch.parse({
    attemptId: `att_${number}`,
    attempt: 1,
    messageId: `msg_${number}`,
    messageIds: [`msg_${number}`],
    content: "Fix the greeting.",
    channel: "main",
    queue: { waitMs: 12.4, reason: "runner_busy", mode: "followup" },
    traceparent: traceparentOf(number),
    ...fields,
  });
}

const traceIdOf = (number: number) => number.toString(16).padStart(32, "a");
const traceparentOf = (number: number) =>
  formatTraceparent({
    traceId: traceIdOf(number),
    spanId: "b".repeat(16),
    traceFlags: 1,
    traceState: "",
    isRemote: true,
  });

const attributesOf = (span: ReadableSpan | undefined): Record<string, AttributeValue> =>
  attributesToObject([...(span?.attributes ?? [])]);

/** Returns the spans as lines `name outcome error`, each indented below its parent. */
function treeOf(spans: readonly ReadableSpan[], traceId?: string): string {
  const own = spans.filter(({ context }) => traceId === undefined || context.traceId === traceId);
  const lines: string[] = [];
  const draw = (parentId: string | undefined, indent: string) => {
    for (const span of own.filter(({ parent }) => parent?.spanId === parentId)) {
      const { "valet.outcome": outcome, ...why } = attributesOf(span);
      const errorType = why["error.type"] ?? why["valet.outcome.reason"] ?? "";
      lines.push(`${indent}${span.name} ${outcome} ${errorType}`.trimEnd());
      draw(span.context.spanId, `${indent}  `);
    }
  };
  const ids = new Set(own.map(({ context }) => context.spanId));
  const tops = new Set(own.filter(({ parent }) => !ids.has(parent?.spanId ?? "")).map(({ parent }) => parent?.spanId));
  for (const top of tops) draw(top, "");
  return lines.join("\n");
}

const byStart = (spans: readonly ReadableSpan[]) => spans.filter(({ endTime }) => endTime !== undefined);

test("a turn has its answer, its figures, its spans below the dispatch, and its context on every call", async () => {
  const { opencode, runner, started, parts } = setUp({ onPrompt: (prompt) => void prompt.play("simple") });
  const input = dispatch({ threadId: "thread" });
  const { openSpan, done } = runner.run(input);
  expect(parseOpenSpan(openSpan ?? "")).toMatchObject({ name: "valet.turn", parent: { spanId: "b".repeat(16) } });
  expect(runner.busy).toEqual([input.attemptId]);
  const result = await done;

  expect(result).toMatchObject({
    outcome: "ok",
    opencodeSessionId: opencode.prompts[0]?.sessionId,
    summary: {
      modelCalls: 4,
      toolCalls: 3,
      toolErrors: 0,
      retries: 0,
      tokens: { input: 1000, output: 75, cacheRead: 640, cacheWrite: 0, reasoning: 5 },
      model: "valet/default",
    },
  });
  expect(result.summary.costUsd).toBeCloseTo(0.002397, 6);
  expect(result.parts.map(({ type }) => type)).toEqual(["reasoning", "text", "tool", "tool", "tool", "text"]);
  expect(result.parts.at(-1)).toMatchObject({ text: "The greeting is fixed and the tests pass." });
  expect(new Map(parts.map(([, part]) => [part.id, part])).get(result.parts.at(-1)?.id ?? "")).toEqual(
    result.parts.at(-1),
  );
  expect(runner.busy).toEqual([]);

  expect(`\n${treeOf(byStart(started))}`).toBe(SIMPLE_TREE);
  const [turn, run] = started;
  expect(turn?.context.traceId).toBe(traceIdOf(dispatches));
  expect(attributesOf(turn)).toMatchObject({
    "valet.message.id": input.messageId,
    "valet.dispatch.attempt_id": input.attemptId,
    "valet.channel.id": "main",
    "valet.thread.id": "thread",
    "valet.queue.wait_ms": 12,
    "valet.queue.reason": "runner_busy",
    "valet.queue.mode": "followup",
    "valet.turn.model_call_count": 4,
    "valet.opencode.session.id": result.opencodeSessionId,
  });
  // The call for the prompt has the context of its run, the other that of the turn.
  const ids = { turn: turn?.context.spanId, run: run?.context.spanId };
  expect(opencode.calls.map(({ path, traceparent }) => [path.split("/").at(-1), traceparent?.split("-")[2]])).toEqual([
    ["session", ids.turn],
    ["prompt_async", ids.run],
  ]);
});

test("two channels work concurrently, each with its own session, trace and answer", async () => {
  const rests: (() => void)[] = [];
  const { opencode, runner, started } = setUp({
    onPrompt: (prompt) => {
      const turn = prompt.texts[0] === "first" ? 0 : 1;
      rests.push(prompt.play("two-channels", { turn, until: isIdle }));
    },
  });
  const [first, second] = [
    dispatch({ channel: "one", content: "first" }),
    dispatch({ channel: "two", content: "second" }),
  ];
  const turns = [runner.run(first), runner.run(second)];
  await vi.waitFor(() => expect(rests).toHaveLength(2), 20_000);
  for (const rest of rests) rest();
  const [one, two] = await Promise.all(turns.map(({ done }) => done));
  expect(one?.opencodeSessionId).not.toBe(two?.opencodeSessionId);
  expect(one?.summary.tokens).toMatchObject({ input: 230, output: 23 });
  expect(two?.summary.tokens).toMatchObject({ input: 430, output: 43 });
  expect(JSON.stringify(one?.parts)).toContain("The first channel is done.");
  expect(JSON.stringify(two?.parts)).toContain("The second channel is done.");
  const tree = `
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool bash ok
    chat scripted-1 ok
  valet.turn.finalize ok`;
  for (const { traceparent } of [first, second]) {
    const traceId = traceparent?.split("-")[1];
    expect(`\n${treeOf(started, traceId)}`).toBe(tree);
    const own = started.filter(({ context }) => context.traceId === traceId);
    expect(opencode.prompts.find((prompt) => prompt.traceparent?.includes(traceId ?? ""))?.sessionId).toBe(
      attributesOf(own[0])["valet.opencode.session.id"],
    );
  }
});

test("a message of a busy channel waits for the previous one", async () => {
  let finish = () => {};
  const { opencode, runner } = setUp({
    onPrompt: (prompt) => {
      finish = prompt.play("simple", { until: isIdle });
      if (opencode.prompts.length === 2) finish();
    },
  });
  const first = runner.run(dispatch());
  const second = runner.run(dispatch());
  await vi.waitFor(() => expect(opencode.prompts).toHaveLength(1), 20_000);
  finish();
  expect((await first.done).outcome).toBe("ok");
  expect((await second.done).outcome).toBe("ok");
  expect(opencode.prompts).toHaveLength(2);
});

test("the next message may follow an abort immediately", async () => {
  let rest = () => {};
  const { runner, started } = setUp({
    onPrompt: (prompt) => {
      const isFirst = prompt.texts[0] === "Take your time.";
      rest = prompt.play("abort-then-prompt", {
        turn: isFirst ? 0 : 1,
        until: ({ type }) => isFirst && type === "session.error",
      });
    },
    onAbort: () => rest(),
  });
  const [first, second] = [dispatch({ content: "Take your time." }), dispatch({ content: "Never mind." })];
  const aborted = runner.run(first);
  await vi.waitFor(() => expect(started.some(({ name }) => name === "execute_tool bash")).toBe(true), 20_000);
  void runner.abort(first.attemptId, "steered");
  const next = runner.run(second);
  expect(await aborted.done).toMatchObject({ outcome: "aborted", errorType: "steered" });
  expect(await next.done).toMatchObject({ outcome: "ok" });
  expect(`\n${treeOf(started, first.traceparent?.split("-")[1])}`).toBe(`
valet.turn superseded steered
  invoke_agent build superseded steered
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool bash superseded steered
  valet.turn.finalize ok`);
  expect(`\n${treeOf(started, second.traceparent?.split("-")[1])}`).toBe(`
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
  valet.turn.finalize ok`);
  expect(started.filter(({ statusCode }) => statusCode === StatusCode.ERROR)).toEqual([]);
});

test("an abort that OpenCode receives after the turn has ended does not end the next message", async () => {
  const { abort } = OpenCodeClient.prototype;
  let end = () => {};
  const late = vi.spyOn(OpenCodeClient.prototype, "abort").mockImplementation(async function (
    this: OpenCodeClient,
    ...args
  ) {
    end();
    // The turn's spans have ended, and the turn waits for this answer only.
    await vi.waitFor(() => expect(ended.some(({ name }) => name === "invoke_agent build")).toBe(true), 20_000);
    return abort.apply(this, args);
  });
  onTestFinished(() => late.mockRestore());
  const { opencode, runner, started, ended } = setUp({
    onPrompt: (prompt) => {
      const turn = opencode.prompts.length - 1;
      end = prompt.play("abort-then-prompt", { turn, until: ({ type }) => turn === 0 && type === "session.error" });
    },
  });
  const [first, second] = [dispatch({ content: "Take your time." }), dispatch({ content: "Never mind." })];
  const aborted = runner.run(first);
  await vi.waitFor(() => expect(started.some(({ name }) => name === "execute_tool bash")).toBe(true), 20_000);
  void runner.abort(first.attemptId, "steered");
  const next = runner.run(second);
  expect((await aborted.done).outcome).toBe("aborted");
  expect((await next.done).outcome).toBe("ok");
  const actions = opencode.calls.map(({ path }) => path.split("/").at(-1));
  expect(actions.filter((each) => each === "abort" || each === "prompt_async")).toEqual([
    "prompt_async",
    "abort",
    "prompt_async",
  ]);
});

test("an abort ends the turn even if the agent ignores it", async () => {
  const { runner, started, ended } = setUp({
    onPrompt: (prompt) => void prompt.play("abort-then-prompt", { until: ({ type }) => type === "session.error" }),
  });
  const input = dispatch();
  const { done } = runner.run(input);
  await vi.waitFor(() => expect(started.some(({ name }) => name === "execute_tool bash")).toBe(true), 20_000);
  await runner.abort(input.attemptId, "user_abort");
  expect(await done).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
  expect(ended).toHaveLength(started.length);
});

test("an abort before the prompt was sent prevents it", async () => {
  const { opencode, runner } = setUp({ onPrompt: (prompt) => void prompt.play("simple") });
  const input = dispatch();
  const { done } = runner.run(input);
  await runner.abort(input.attemptId, "session_terminated");
  expect(await done).toMatchObject({ outcome: "aborted", errorType: "session_terminated", parts: [] });
  expect(opencode.prompts).toEqual([]);
});

test("after an abort of a prompt that the agent dropped, the turn ends with the abort's answer", async () => {
  const { opencode, runner } = setUp({ onPrompt: () => {} }, { limits: { abortTimeoutMs: 60_000 } });
  const input = dispatch();
  const { done } = runner.run(input);
  await vi.waitFor(() => expect(opencode.prompts).toHaveLength(1), 20_000);
  await runner.abort(input.attemptId, "user_abort");
  expect(await done).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
});

// Without the check of the history, the silence of the event stream would end the turn, after 30 s.
test("after an abort that overtook OpenCode's work, the turn ends with OpenCode's only word about it", async () => {
  const { opencode, runner } = setUp(
    { onPrompt: () => {} },
    { stuckTurnMs: 600_000, limits: { abortTimeoutMs: 600_000, silenceMs: 600_000 } },
  );
  const input = dispatch();
  const { done } = runner.run(input);
  await vi.waitFor(() => expect(opencode.prompts).toHaveLength(1), 20_000);
  const { sessionId: sessionID, messageId: parentID } = opencode.prompts[0] as FakePrompt;
  const created = Date.now();
  const message = (info: object) => {
    const properties = { sessionID, info: { sessionID, agent: "build", time: { created }, ...info } };
    opencode.send({ type: "message.updated", properties });
  };
  const status = (type: string) =>
    opencode.send({ type: "session.status", properties: { sessionID, status: { type } } });
  message({ id: parentID, role: "user" });
  status("busy");
  const aborted = runner.abort(input.attemptId, "user_abort");
  await vi.waitFor(() => expect(opencode.calls.map(({ path }) => path)).toContain("/question"), 20_000);
  // It is sent once more only if OpenCode had begun to work before.
  const error = { name: "MessageAbortedError", data: { message: "Aborted" } };
  const answer = { id: "msg_answer", role: "assistant", parentID, providerID: "valet", modelID: "default", error };
  message({ ...answer, time: { created, completed: created + 1 } });
  status("idle");
  await aborted;
  expect(await done).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
}, 25_000);

test("after a model's failure the next one is tried, and its span links to the failed one", async () => {
  const { opencode, runner, started } = setUp({
    onPrompt: (prompt) => void prompt.play(prompt.model === "a/good" ? "simple" : "error"),
  });
  const { done } = runner.run(dispatch({ model: "a/bad", models: ["a/bad", "a/good", "a/never"] }));
  expect(await done).toMatchObject({ outcome: "ok", summary: { model: "a/good" } });
  expect(opencode.prompts.map(({ model }) => model)).toEqual(["a/bad", "a/good"]);
  expect(new Set(opencode.prompts.map(({ messageId }) => messageId)).size).toBe(2);
  const runs = started.filter(({ name }) => name.startsWith("invoke_agent "));
  expect(runs.map((run) => attributesOf(run))).toMatchObject([
    { "valet.outcome": "error", "error.type": "provider_auth_failed", "valet.failover.attempt": 1 },
    { "valet.outcome": "ok", "valet.failover.attempt": 2 },
  ]);
  expect(runs[1]?.links).toMatchObject([
    { context: { spanId: runs[0]?.context.spanId }, attributes: ["valet.link.type", "follows"] },
  ]);
  expect(runs[1]?.parent).toEqual(started[0]?.context);
  expect(attributesOf(started[0])).toMatchObject({ "valet.outcome": "ok", "valet.turn.failover_count": 1 });
});

test("if every model fails, the turn fails with model_chain_exhausted", async () => {
  const { opencode, runner, started } = setUp({ onPrompt: (prompt) => void prompt.play("error") });
  const { done } = runner.run(dispatch({ models: ["a/one", "a/two"] }));
  const result = await done;
  expect(result).toMatchObject({ outcome: "error", errorType: "model_chain_exhausted", causeOf: "valet/default" });
  // A person needs to know why the last model failed.
  const last = started.filter(({ name }) => name.startsWith("invoke_agent ")).at(-1);
  expect(result.cause).toBe(attributesOf(last)["error.type"]);
  expect(attributesOf(started[0])["valet.error.cause"]).toBe(result.cause);
  expect(opencode.prompts.map(({ model }) => model)).toEqual(["a/one", "a/two", "valet/default"]);
  expect(started[0]).toMatchObject({ name: "valet.turn", statusCode: StatusCode.ERROR });
  expect(attributesOf(started[0])).toMatchObject({ "valet.turn.failover_count": 2 });
});

test("a model that is named twice, with and without its provider, is tried once", async () => {
  const { opencode, runner, started } = setUp({ onPrompt: (prompt) => void prompt.play("error") });
  const { done } = runner.run(
    dispatch({ model: "default", models: ["valet/default", "other", "valet/other", "a/other"] }),
  );
  expect(await done).toMatchObject({ outcome: "error", errorType: "model_chain_exhausted" });
  expect(opencode.prompts.map(({ model }) => model)).toEqual(["valet/default", "valet/other", "a/other"]);
  expect(attributesOf(started[0])).toMatchObject({ "valet.turn.failover_count": 2 });
});

test("a provider that OpenCode would retry without end is given up, and the next model answers", async () => {
  let rest = () => {};
  const { opencode, runner, started } = setUp(
    {
      onPrompt: (prompt) => {
        if (prompt.model === "a/good") prompt.play("simple");
        else rest = prompt.play("abort-in-retry", { until: ({ properties }) => properties.info?.time?.completed > 0 });
      },
      onAbort: () => rest(),
    },
    { limits: { maxFailures: 1 } },
  );
  const { done } = runner.run(dispatch({ models: ["a/broken", "a/good"] }));
  expect(await done).toMatchObject({ outcome: "ok", summary: { model: "a/good" } });
  expect(opencode.prompts).toHaveLength(2);
  expect(treeOf(started).split("\n").slice(0, 5)).toEqual([
    "valet.turn ok",
    "  invoke_agent build error provider_unavailable",
    "    valet.agent.prepare ok",
    "    chat scripted-1 error provider_unavailable",
    "      valet.llm.try error provider_unavailable",
  ]);
});

test("the same attempt twice is one turn", async () => {
  const { opencode, runner, started } = setUp({ onPrompt: (prompt) => void prompt.play("simple") });
  const input = dispatch();
  const [first, second] = [runner.run(input), runner.run({ ...input })];
  expect(await second.done).toBe(await first.done);
  expect(await runner.run(input).done).toBe(await first.done);
  expect(opencode.prompts).toHaveLength(1);
  expect(started.filter(({ name }) => name === "valet.turn")).toHaveLength(1);
});

test("without a traceparent a turn begins a separate trace, even if other work is running", async () => {
  const { traceparent: _, ...older } = dispatch({ channel: "older" });
  const { opencode, runner, started } = setUp({
    onPrompt: (prompt) => {
      if (opencode.prompts.length === 2) prompt.play("simple");
    },
  });
  const other = dispatch();
  void runner.run(other);
  await vi.waitFor(() => expect(opencode.prompts).toHaveLength(1), 20_000);
  const result = await runner.run(older).done;
  expect(result.outcome).toBe("ok");
  const turn = started.filter(({ name }) => name === "valet.turn")[1];
  expect(turn?.parent).toBeUndefined();
  expect(turn?.context.traceId).not.toBe(other.traceparent?.split("-")[1]);
  await runner.abortAll("runner_shutdown");
});

/** How long a turn may be silent where the test holds the clock: with a real one, a machine that pauses would end the turn. */
const STUCK_MS = 10_000;

/** From now on only the test makes timers due. */
function holdClock(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Lets the time pass that work takes to end. */
async function ending<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  void work.finally(() => {
    isOver = true;
  });
  await vi.waitFor(() => expect(isOver).toBe(true), 20_000);
  return work;
}

test("a turn without progress ends as stuck", async () => {
  holdClock();
  const { opencode, runner, started, ended } = setUp(
    { onPrompt: (prompt) => void prompt.play("simple", { until: ({ type }) => type === "message.part.delta" }) },
    { stuckTurnMs: STUCK_MS },
  );
  const { done } = runner.run(dispatch());
  await expect.poll(() => started.some(({ name }) => name.startsWith("chat "))).toBe(true);
  vi.advanceTimersByTime(STUCK_MS);
  expect(await ending(done)).toMatchObject({ outcome: "error", errorType: "stuck_turn" });
  expect(opencode.calls.some(({ path }) => path.endsWith("/abort"))).toBe(true);
  expect(ended).toHaveLength(started.length);
  expect(`\n${treeOf(started)}`).toBe(`
valet.turn error stuck_turn
  invoke_agent build error stuck_turn
    valet.agent.prepare ok
    chat scripted-1 error stuck_turn
  valet.turn.finalize ok`);
});

/** Returns a condition that stops after the event that reports the running command. */
function untilCommandRuns() {
  let isRunning = false;
  return ({ properties: { part } }: RawEvent) => {
    const isOver = isRunning;
    isRunning ||= part?.state?.status === "running" && part.tool === "bash";
    return isOver;
  };
}

test("a silent command within its own time limit is not stuck, and progress is reported to the object", async () => {
  holdClock();
  let rest = () => {};
  const { runner, quiet, started } = setUp(
    {
      onPrompt: (prompt) => {
        rest = prompt.play("parallel-tools", { until: untilCommandRuns() });
      },
    },
    { stuckTurnMs: STUCK_MS },
  );
  const { attemptId, ...input } = dispatch();
  const { done } = runner.run({ attemptId, ...input });
  await expect.poll(() => started.some(({ name }) => name === "execute_tool bash")).toBe(true);
  const before = quiet.length;
  for (let silence = 1; silence <= 3; silence++) {
    vi.advanceTimersByTime(STUCK_MS);
    expect(quiet).toHaveLength(before + silence);
  }
  expect(new Set(quiet)).toEqual(new Set([attemptId]));
  rest();
  expect(await done).toMatchObject({ outcome: "ok" });
});

/** Moves the wall clock ahead, as when the machine sleeps: no timer goes on meanwhile. */
function sleepMachine(ms: number): void {
  const now = Date.now.bind(Date);
  const spied = vi.spyOn(Date, "now").mockImplementation(() => now() + ms);
  onTestFinished(() => spied.mockRestore());
}

test.each([true, false])(
  "a turn whose machine slept has its whole silence again; and progress after that: %s",
  async (goesOn) => {
    holdClock();
    let rest = () => {};
    const { runner, started, quiet } = setUp(
      {
        onPrompt: (prompt) => {
          rest = prompt.play("simple", { until: ({ type }) => type === "message.part.delta" });
        },
      },
      { stuckTurnMs: STUCK_MS },
    );
    const { done } = runner.run(dispatch());
    await expect.poll(() => started.some(({ name }) => name.startsWith("chat "))).toBe(true);
    const told = quiet.length;
    sleepMachine(3_600_000);
    // Its watchdog expires within this time.
    vi.advanceTimersByTime(STUCK_MS);
    // The object's watchdog begins anew, too.
    expect(quiet).toHaveLength(told + 1);
    if (goesOn) {
      rest();
      expect(await done).toMatchObject({ outcome: "ok" });
    } else {
      vi.advanceTimersByTime(STUCK_MS);
      expect(await ending(done)).toMatchObject({ errorType: "stuck_turn" });
    }
  },
);

test("a command whose machine slept has its whole limit again: its own timer did not go on", async () => {
  holdClock();
  let rest = () => {};
  const { opencode, runner, started } = setUp(
    {
      onPrompt: (prompt) => {
        rest = prompt.play("parallel-tools", { until: untilCommandRuns() });
      },
    },
    { stuckTurnMs: STUCK_MS },
  );
  const { done } = runner.run(dispatch());
  await expect.poll(() => started.some(({ name }) => name === "execute_tool bash")).toBe(true);
  sleepMachine(3_600_000);
  for (let silence = 1; silence <= 3; silence++) vi.advanceTimersByTime(STUCK_MS);
  expect(opencode.calls.some(({ path }) => path.endsWith("/abort"))).toBe(false);
  rest();
  expect(await done).toMatchObject({ outcome: "ok" });
});

test("a retry of a model call is progress, which is reported before the object's watchdog expires", async () => {
  holdClock();
  const { opencode, runner, quiet, started } = setUp(
    { onPrompt: (prompt) => void prompt.play("simple", { until: ({ type }) => type === "message.part.delta" }) },
    { stuckTurnMs: STUCK_MS, limits: { maxFailures: 100 } },
  );
  const { done } = runner.run(dispatch());
  await expect.poll(() => started.some(({ name }) => name.startsWith("chat "))).toBe(true);
  const before = quiet.length;
  for (let attempt = 1; attempt <= 10; attempt++) {
    vi.advanceTimersByTime(STUCK_MS / 4);
    const status = { type: "retry", attempt, message: "timeout", next: Date.now() + 50 };
    opencode.send({ type: "session.status", properties: { sessionID: opencode.prompts[0]?.sessionId, status } });
    await expect.poll(() => quiet.length).toBe(before + attempt);
  }
  vi.advanceTimersByTime(STUCK_MS);
  expect(await ending(done)).toMatchObject({ errorType: "stuck_turn" });
});

test("a turn that becomes idle without a model call fails", async () => {
  const isAnswer = ({ properties }: RawEvent) => properties.info?.role === "assistant";
  const { runner, started, ended } = setUp({
    onPrompt: (prompt) => {
      prompt.play("simple", { until: isAnswer });
      prompt.play("simple", { from: isIdle });
    },
  });
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "error", errorType: "no_model_call" });
  expect(ended).toHaveLength(started.length);
});

test("an error of the agent ends the turn even if no idle status follows", async () => {
  const { runner, started, ended } = setUp(
    { onPrompt: (prompt) => void prompt.play("error", { until: ({ type }) => type === "session.error" }) },
    { stuckTurnMs: 50, limits: { abortTimeoutMs: 50 } },
  );
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "error" });
  expect(ended).toHaveLength(started.length);
});

test("a permission request reaches a person, does not count as stuck, and receives the reply", async () => {
  holdClock();
  let rest = () => {};
  const replied: [string, string][] = [];
  const { runner, asked, started, quiet } = setUp(
    {
      onPrompt: (prompt) => {
        rest = prompt.play("permission", { until: ({ type }) => type === "permission.replied" });
      },
      onPermissionReply: (...reply) => {
        replied.push(reply);
        rest();
      },
    },
    { stuckTurnMs: STUCK_MS },
  );
  const { attemptId, ...input } = dispatch();
  const { done } = runner.run({ attemptId, ...input });
  await expect.poll(() => started.some(({ name }) => name === "valet.permission.wait")).toBe(true);
  const [question] = asked;
  if (question?.type !== "permission-asked") throw new Error("nothing was asked");
  const { permissionId } = question;
  expect(asked).toEqual([{ type: "permission-asked", attemptId, permissionId, permission: "bash", detail: "ls" }]);
  const before = quiet.length;
  // Twice as long as the allowed silence.
  for (let silence = 1; silence <= 2; silence++) {
    vi.advanceTimersByTime(STUCK_MS);
    expect(quiet).toHaveLength(before + silence);
  }
  expect(new Set(quiet)).toEqual(new Set([attemptId]));
  expect(runner.busy).toHaveLength(1);
  await runner.reply({ type: "permission-reply", permissionId: "per_unknown", reply: "reject" });
  await runner.reply({ type: "permission-reply", permissionId, reply: "once" });
  expect(await done).toMatchObject({ outcome: "ok" });
  expect(replied).toEqual([[permissionId, "once"]]);
  const wait = started.find(({ name }) => name === "valet.permission.wait");
  expect(attributesOf(wait)).toMatchObject({ "valet.permission.reply": "once", "valet.permission.type": "bash" });
});

test.each([
  ["are answered", [["Good day"]]],
  ["are declined", null],
])("questions of the agent reach a person with their options, and %s", async (_what, answers) => {
  let rest = () => {};
  const replied: unknown[] = [];
  const { runner, asked, started } = setUp({
    onPrompt: (prompt) => {
      rest = prompt.play("question", { until: ({ type }) => type === "question.replied" });
    },
    onQuestionReply: (_id, given) => {
      replied.push(given ?? null);
      rest();
    },
  });
  const { done } = runner.run(dispatch());
  await vi.waitFor(() => expect(asked).toHaveLength(1), 20_000);
  const [question] = asked;
  if (question?.type !== "question-asked") throw new Error("nothing was asked");
  expect(question.questions).toEqual([
    {
      question: "Which greeting do you prefer?",
      header: "Greeting",
      options: [
        { label: "Hello", description: "The usual one" },
        { label: "Good day", description: "The formal one" },
      ],
    },
  ]);
  await runner.reply({ type: "question-reply", questionId: question.questionId, answers });
  expect(await done).toMatchObject({ outcome: "ok" });
  expect(replied).toEqual([answers]);
  expect(started.some(({ name }) => name === "valet.question.wait")).toBe(true);
});

test("OpenCode dies during a turn: the turn ends with that error, OpenCode is restarted, and the next turn succeeds", async () => {
  const { opencode, runner, started, ended } = setUp({
    onPrompt: (prompt) =>
      void prompt.play("simple", {
        until: ({ type }) => opencode.prompts.length === 1 && type === "message.part.delta",
      }),
  });
  const { done } = runner.run(dispatch());
  await vi.waitFor(() => expect(started.some(({ name }) => name.startsWith("chat "))).toBe(true), 20_000);
  const mayStart = Promise.withResolvers<void>();
  opencode.mayStart = mayStart.promise;
  await opencode.die();
  // The end is reported before OpenCode has been restarted.
  expect(await done).toMatchObject({ outcome: "error", errorType: "opencode_died" });
  expect(opencode.starts).toBe(2);
  const turn = started.find(({ name }) => name === "valet.turn");
  expect(opencode.restartCauses.map(({ spanId }) => spanId)).toEqual([turn?.context.spanId]);
  mayStart.resolve();
  expect(ended).toHaveLength(started.length);
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "ok" });
});

test("OpenCode hangs during a turn: silence triggers a health check, the turn ends with that error, and the next message is answered", async () => {
  const { opencode, runner, started, ended } = setUp(
    {
      onPrompt: (prompt) =>
        void prompt.play("simple", {
          until: ({ type }) => opencode.prompts.length === 1 && type === "message.part.delta",
        }),
    },
    { limits: { silenceMs: 50 } },
  );
  const { done } = runner.run(dispatch());
  // As long as it answers, it is only slow.
  await vi.waitFor(() => expect(opencode.checks).toBeGreaterThan(2), 20_000);
  expect(runner.busy).toHaveLength(1);
  opencode.isFrozen = true;
  expect(await done).toMatchObject({ outcome: "error", errorType: "opencode_hung" });
  expect(ended).toHaveLength(started.length);
  expect(`\n${treeOf(started)}`).toBe(`
valet.turn error opencode_hung
  invoke_agent build error opencode_hung
    valet.agent.prepare ok
    chat scripted-1 error opencode_hung
    valet.agent.unresponsive error opencode_hung
  valet.turn.finalize ok`);
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "ok" });
  expect(opencode.starts).toBe(2);
});

test("OpenCode stops working during a tool without an event: the turn ends with opencode_stopped, long before the tool's own limit", async () => {
  const { opencode, runner, started, ended } = setUp(
    {
      onPrompt: (prompt) => {
        const isFirst = opencode.prompts.length === 1;
        prompt.play(isFirst ? "parallel-tools" : "simple", isFirst ? { until: untilCommandRuns() } : {});
      },
    },
    { limits: { silenceMs: 50 } },
  );
  const { done } = runner.run(dispatch());
  // A tool may be silent as long as OpenCode reports that it is busy.
  await vi.waitFor(() => expect(opencode.checks).toBeGreaterThan(3), 20_000);
  expect(runner.busy).toHaveLength(1);
  opencode.stopWork(opencode.prompts[0]?.sessionId ?? "");
  expect(await done).toMatchObject({ outcome: "error", errorType: "opencode_stopped" });
  expect(ended).toHaveLength(started.length);
  expect(treeOf(started)).toMatch(/execute_tool bash error opencode_stopped/);
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "ok" });
  expect(opencode.starts).toBe(1);
});

test("an OpenCode that is idle after the events of its end were lost has ended, not stopped", async () => {
  const { opencode, runner } = setUp(
    {
      onPrompt: (prompt) => {
        const rest = prompt.play("simple", { until: ({ type }) => type === "message.part.delta" });
        opencode.loseEvents(() => rest());
      },
    },
    { limits: { silenceMs: 50 } },
  );
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "ok" });
});

test("OpenCode dies between its start and the prompt: the restarted OpenCode receives the prompt once", async () => {
  const { opencode, runner } = setUp({ onPrompt: (prompt) => void prompt.play("simple") });
  opencode.onSession = () => {
    opencode.onSession = undefined;
    void opencode.die();
    return new Response("What comes is cut off.", { headers: { "content-type": "application/json" } });
  };
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "ok" });
  expect(opencode.starts).toBe(2);
  expect(opencode.prompts).toHaveLength(1);
});

test("a failure is reported even if OpenCode hangs, with the answer as far as it was received", async () => {
  const mayRead = Promise.withResolvers<void>();
  const { opencode, runner, started } = setUp({ onPrompt: () => 500 });
  opencode.mayRead = mayRead.promise;
  const reads = vi.spyOn(OpenCodeClient.prototype, "messages");
  onTestFinished(() => reads.mockRestore());
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "error", errorType: "opencode_error" });
  // Other calls have a timeout of fifteen seconds.
  expect(reads.mock.calls.at(-1)?.[2].timeoutMs).toBeLessThan(10_000);
  const finalize = started.find(({ name }) => name === "valet.turn.finalize");
  expect(attributesOf(finalize)["error.type"]).toBe("opencode_unhealthy");
  const read = opencode.calls.find(({ path }) => path.endsWith("/message"));
  expect(read?.traceparent?.split("-")[2]).toBe(finalize?.context.spanId);
  mayRead.resolve();
});

test("a turn that succeeds waits for no history: its events have told the answer", async () => {
  const { opencode, runner, started } = setUp({ onPrompt: (prompt) => void prompt.play("simple") });
  opencode.mayRead = new Promise(() => {});
  const { outcome, parts } = await runner.run(dispatch()).done;
  expect(outcome).toBe("ok");
  expect(parts.map(({ type }) => type)).toEqual(["reasoning", "text", "tool", "tool", "tool", "text"]);
  const finalize = started.find(({ name }) => name === "valet.turn.finalize");
  expect(attributesOf(finalize)["error.type"]).toBeUndefined();
});

test("OpenCode refuses the prompt", async () => {
  const { runner } = setUp({ onPrompt: () => 500 });
  expect(await runner.run(dispatch()).done).toMatchObject({ outcome: "error", errorType: "opencode_error" });
});

test("the history replaces events that a broken stream lost", async () => {
  let rest = () => {};
  const { opencode, runner, started } = setUp({
    onPrompt: (prompt) => {
      rest = prompt.play("simple", { until: ({ properties }) => properties.part?.state?.status === "running" });
    },
  });
  const { done } = runner.run(dispatch());
  await vi.waitFor(() => expect(started.some(({ name }) => name.startsWith("chat "))).toBe(true), 20_000);
  opencode.breakStreams();
  rest();
  expect(await done).toMatchObject({ outcome: "ok", summary: { modelCalls: 4, toolCalls: 3 } });
  expect(started.filter(({ name }) => name.startsWith("chat "))).toHaveLength(4);
});

describe("a request to a person during a break of the event stream", () => {
  const isAsked = ({ type }: RawEvent) => type === "permission.asked" || type === "question.asked";
  const isAnswered = ({ type }: RawEvent) => /^(permission|question)\.re/.test(type);

  test.each(["permission", "question"])(
    "%s: it reaches the person, receives the reply, and the turn succeeds",
    async (name) => {
      let rest: Rest = () => rest;
      const answer = () => void rest();
      holdClock();
      const { opencode, runner, asked, quiet, started } = setUp(
        {
          onPrompt: (prompt) => {
            rest = prompt.play(name, { until: isAsked });
          },
          onPermissionReply: answer,
          onQuestionReply: answer,
        },
        { stuckTurnMs: STUCK_MS },
      );
      const { done } = runner.run(dispatch());
      await vi.waitFor(() => expect(started.some((span) => span.name.startsWith("chat "))).toBe(true), 20_000);
      opencode.breakStreams();
      rest = rest(isAnswered);
      await vi.waitFor(() => expect(asked).toHaveLength(1), 20_000);
      const before = quiet.length;
      // It does not count as stuck, either.
      vi.advanceTimersByTime(STUCK_MS);
      expect(quiet).toHaveLength(before + 1);
      const [request] = asked;
      if (request?.type === "permission-asked") {
        await runner.reply({ type: "permission-reply", permissionId: request.permissionId, reply: "once" });
      } else {
        await runner.reply({ type: "question-reply", questionId: request?.questionId ?? "", answers: [["Good day"]] });
      }
      expect(await done).toMatchObject({ outcome: "ok" });
      expect(asked).toHaveLength(1);
      const wait = started.find(({ name: span }) => span === `valet.${name}.wait`);
      expect(attributesOf(wait)["valet.outcome"]).toBe("ok");
      expect(opencode.calls.filter(({ path }) => /\/re(ply|ject)$/.test(path))).toHaveLength(1);
    },
  );

  test.each(["permission", "question"])("%s: one that was answered in OpenCode no longer waits", async (name) => {
    let rest: Rest = () => rest;
    const { opencode, runner, asked, started } = setUp({
      onPrompt: (prompt) => {
        rest = prompt.play(name, { until: isAnswered });
      },
    });
    const { done } = runner.run(dispatch());
    await vi.waitFor(() => expect(asked).toHaveLength(1), 20_000);
    opencode.breakStreams();
    let hasAnswered = false;
    rest = rest((event) => {
      const isPast = hasAnswered;
      hasAnswered ||= isAnswered(event);
      return isPast;
    });
    const wait = started.find(({ name: span }) => span === `valet.${name}.wait`);
    await vi.waitFor(() => expect(attributesOf(wait)["valet.outcome"]).toBe("ok"), 20_000);
    // The reply is unknown.
    expect(attributesOf(wait)).not.toHaveProperty("valet.permission.reply");
    rest();
    expect(await done).toMatchObject({ outcome: "ok" });
  });

  test("a permission that was rejected in OpenCode ends the turn", async () => {
    let rest: Rest = () => rest;
    const { opencode, runner, started, asked } = setUp({
      onPrompt: (prompt) => {
        rest = prompt.play("permission", { turn: 1, until: isAsked });
      },
    });
    const { done } = runner.run(dispatch());
    await vi.waitFor(() => expect(started.some(({ name }) => name.startsWith("chat "))).toBe(true), 20_000);
    opencode.breakStreams();
    rest = rest();
    expect(await done).toMatchObject({ outcome: "error", errorType: "permission_denied" });
    expect(asked).toEqual([]);
  });
});

test("events during the read of the history are applied after it, and do not replace it", async () => {
  /** Its message is only in the history. */
  const isSecondTool = ({ properties: { part } }: RawEvent) => part?.tool === "edit" && part.state.status === "running";
  let rest: Rest = () => rest;
  const { opencode, runner, started } = setUp({
    onPrompt: (prompt) => {
      rest = prompt.play("simple", { until: ({ properties }) => properties.part?.state?.status === "running" });
    },
  });
  const { done } = runner.run(dispatch());
  await vi.waitFor(() => expect(started.some(({ name }) => name.startsWith("chat "))).toBe(true), 20_000);
  const mayRead = Promise.withResolvers<void>();
  opencode.mayRead = mayRead.promise;
  opencode.breakStreams();
  rest = rest(isSecondTool);
  const isReading = () => opencode.calls.some(({ path }) => path.endsWith("/message"));
  await vi.waitFor(() => expect(isReading()).toBe(true), 20_000);
  rest();
  const isAllRead = () =>
    opencode.heard.some(({ type, properties }) => type === "session.status" && properties.status.type === "idle");
  await vi.waitFor(() => expect(isAllRead()).toBe(true), 20_000);
  mayRead.resolve();
  expect(await done).toMatchObject({ outcome: "ok", summary: { modelCalls: 4, toolCalls: 3, toolErrors: 0 } });
  expect(`\n${treeOf(started)}`).toBe(SIMPLE_TREE);
});

test("a session is looked up before its first prompt in a process, and after a prompt that failed, but not after one that ended well", async () => {
  const { opencode, runner } = setUp({
    onPrompt: (prompt) => {
      if (opencode.prompts.length === 3) return 500;
      void prompt.play("simple");
      return undefined;
    },
  });
  const { opencodeSessionId } = await runner.run(dispatch()).done;
  const take = async () => {
    const before = opencode.calls.length;
    const { outcome } = await runner.run(dispatch({ opencodeSessionId })).done;
    const [first] = opencode.calls.slice(before);
    return { outcome, asksFirst: first?.path === `/session/${opencodeSessionId}` };
  };
  expect(await take()).toEqual({ outcome: "ok", asksFirst: false });
  expect(await take()).toEqual({ outcome: "error", asksFirst: false });
  expect(await take()).toEqual({ outcome: "ok", asksFirst: true });
  expect(await take()).toEqual({ outcome: "ok", asksFirst: false });
  await opencode.die();
  expect(await take()).toEqual({ outcome: "ok", asksFirst: true });
  expect(opencode.prompts.map(({ sessionId }) => sessionId)).toEqual(Array(6).fill(opencodeSessionId));
});

test("a new OpenCode session receives the earlier conversation; a known session is used again", async () => {
  const { opencode, runner } = setUp({ onPrompt: (prompt) => void prompt.play("simple") });
  const gone = dispatch({ opencodeSessionId: "ses_gone", continuationContext: "Earlier we fixed a bug." });
  const first = await runner.run(gone).done;
  expect(opencode.prompts[0]?.texts).toEqual(["Earlier we fixed a bug.", "Fix the greeting."]);
  expect(first.opencodeSessionId).not.toBe("ses_gone");
  const again = dispatch({
    opencodeSessionId: first.opencodeSessionId,
    continuationContext: "Earlier we fixed a bug.",
    attachments: [{ filename: "a.txt", mediaType: "text/plain", url: "data:text/plain,hi" }],
  });
  expect(await runner.run(again).done).toMatchObject({ opencodeSessionId: first.opencodeSessionId });
  const body = opencode.calls.filter(({ path }) => path.endsWith("/prompt_async"))[1]?.body;
  expect(body).toMatchObject({
    parts: [
      { type: "text", text: "Fix the greeting." },
      { type: "file", mime: "text/plain", filename: "a.txt", url: "data:text/plain;base64,aGk=" },
    ],
  });
  const [one, two] = opencode.prompts.map(({ messageId }) => messageId);
  expect((one ?? "") < (two ?? "")).toBe(true);
});

test("spans contain no content, unless content capture is on", async () => {
  for (const captureContent of [false, true]) {
    const { runner, ended } = setUp({ onPrompt: (prompt) => void prompt.play("simple") }, { captureContent });
    await runner.run(dispatch({ content: "canary-prompt", continuationContext: "canary-context" })).done;
    const text = JSON.stringify(ended);
    for (const said of ["canary-prompt", "canary-context"]) expect(text).not.toContain(said);
    for (const said of ["greeting is fixed", "node --test", "stranger", "I read the file"]) {
      expect(text.includes(said)).toBe(captureContent);
    }
  }
});

test("without tracing the work is the same, and the caller's context is passed on", async () => {
  const off = new Tracer<ValetSpans>({
    scope: { name: "test" },
    processor: { onStart: () => expect.unreachable(), onEnd: () => expect.unreachable() },
    enabled: false,
  });
  const { opencode, runner } = setUp({ onPrompt: (prompt) => void prompt.play("simple") }, { tracer: off });
  const input = dispatch();
  const { openSpan, done } = runner.run(input);
  expect(openSpan).toBeUndefined();
  expect(await done).toMatchObject({ outcome: "ok", summary: { modelCalls: 4 } });
  expect(opencode.prompts[0]?.traceparent).toBe(input.traceparent);
});
