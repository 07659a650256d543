/**
 * Tests turns whose OpenCode dies, hangs, stops or loses events.
 */
import { expect, onTestFinished, test, vi } from "vitest";
import type { RawEvent, Rest } from "../test/fake-opencode.ts";
import { attributesOf, dispatch, SIMPLE_TREE, setUp, treeOf, untilCommandRuns } from "../test/recorded-turns.ts";
import { OpenCodeClient } from "./opencode/client.ts";

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
