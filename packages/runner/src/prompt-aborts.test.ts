/**
 * Tests turns that are aborted, whenever the abort comes.
 */
import { StatusCode } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import type { FakePrompt } from "../test/fake-opencode.ts";
import { dispatch, setUp, treeOf } from "../test/recorded-turns.ts";
import { OpenCodeClient } from "./opencode/client.ts";

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
