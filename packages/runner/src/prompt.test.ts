/**
 * Tests turns through their results and spans: answers, models, channels, conversations, what telemetry holds. prompt-aborts, prompt-silence,
 * prompt-persons and prompt-agent-failures.test.ts have what else happens in a turn; opencode/real.test.ts tests durations and the real OpenCode.
 */
import type { ValetSpans } from "@valet/shared/spans";
import { parseOpenSpan, StatusCode, Tracer } from "@valet/shared/tracing";
import { expect, test, vi } from "vitest";
import type { RawEvent } from "../test/fake-opencode.ts";
import { attributesOf, byStart, dispatch, isIdle, SIMPLE_TREE, setUp, treeOf } from "../test/recorded-turns.ts";

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
  expect(turn?.context.traceId).toBe(input.traceparent?.split("-")[1]);
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
