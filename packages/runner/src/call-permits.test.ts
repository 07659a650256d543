/** Tests which model calls the runner permits, with a stand-in for OpenCode. hostile.test.ts counts those of the real one. */
import type { ValetSpans } from "@valet/shared/spans";
import { type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { FakeOpenCode, type FakeOptions, type RawEvent, type Rest } from "../test/fake-opencode.ts";
import { dispatchOf } from "../test/real-agent.ts";
import { JobRunner } from "./jobs/job-runner.ts";
import { OpenCodeAgent } from "./opencode/agent.ts";

function setUp(fake: FakeOptions) {
  const opencode = new FakeOpenCode(fake);
  onTestFinished(() => opencode[Symbol.asyncDispose]());
  const spans: ReadableSpan[] = [];
  const runner = new JobRunner({
    agent: new OpenCodeAgent(opencode),
    tracer: new Tracer<ValetSpans>({
      scope: { name: "test" },
      processor: { onStart: (span) => spans.push(span), onEnd: () => {} },
    }),
    captureContent: false,
    defaultModel: "valet/default",
    stuckTurnMs: 20_000,
    workspace: "/nowhere",
    env: {},
    limits: { abortTimeoutMs: 200 },
    onStep: () => {},
    onPart: () => {},
    onAsked: () => {},
    onWorking: () => {},
  });
  return { opencode, runner, spans };
}

/** Announces an answer, as OpenCode does before it requests permission for the model call. */
function announce(opencode: FakeOpenCode, call: { sessionId: string; messageId: string; userMessageId: string }): void {
  const { sessionId: sessionID, messageId: id, userMessageId: parentID } = call;
  const info = {
    id,
    sessionID,
    parentID,
    role: "assistant",
    providerID: "valet",
    modelID: "m",
    time: { created: Date.now() },
  };
  opencode.send({ type: "message.updated", properties: { info, sessionID } });
}

const isAnswer = ({ type, properties }: RawEvent) => type === "message.updated" && properties.info.role === "assistant";

/** Starts a turn, up to the events before its first answer. */
async function begun() {
  let rest: Rest = () => rest;
  const all = setUp({
    onPrompt: (prompt) => {
      rest = prompt.play("simple", { until: isAnswer });
    },
  });
  const dispatch = dispatchOf("Hello.");
  const { done } = all.runner.run(dispatch);
  await vi.waitFor(() => expect(all.spans.map(({ name }) => name)).toContain("valet.agent.prepare"), 20_000);
  const [prompt] = all.opencode.prompts;
  const { sessionId = "", messageId: userMessageId = "" } = prompt ?? {};
  const call = { sessionId, userMessageId, messageId: "msg_answer" };
  return { ...all, dispatch, done, call, playRest: () => rest() };
}

test("a call waits until its answer has been announced, then gets the context of its span", async () => {
  const { opencode, runner, call, spans } = await begun();
  const permit = runner.permitModelCall(call);
  expect(await Promise.race([permit, new Promise((resolve) => setTimeout(resolve, 100, "waits"))])).toBe("waits");
  announce(opencode, call);
  opencode.send({ type: "session.status", properties: { sessionID: call.sessionId, status: { type: "busy" } } });
  const { isRefused, context } = await permit;
  expect(isRefused).toBe(false);
  await vi.waitFor(() => expect(spans.at(-1)?.name).toBe("chat m"), 20_000);
  expect(context?.spanId).toBe(spans.at(-1)?.context.spanId as string);
  // A retry, whose answer has already been announced.
  expect(await runner.permitModelCall(call)).toEqual({ isRefused, context });
});

test("a call that no event announces is permitted after a timeout", async () => {
  const { runner, call } = await begun();
  expect(await runner.permitModelCall(call)).toMatchObject({ isRefused: false });
}, 20_000);

test("an aborted turn makes no further calls, neither while it ends nor afterwards; a refused call has no span", async () => {
  const { opencode, runner, dispatch, done, call, spans } = await begun();
  void runner.abort(dispatch.attemptId, "user_abort");
  // Permits that the plugin requested ahead are invalid at once.
  expect(opencode.refusals).toBe(1);
  announce(opencode, call);
  opencode.send({ type: "session.status", properties: { sessionID: call.sessionId, status: { type: "busy" } } });
  expect(await runner.permitModelCall(call)).toEqual({ isRefused: true, context: undefined });
  expect(await done).toMatchObject({ outcome: "aborted", summary: { modelCalls: 0 } });
  expect(spans.map(({ name }) => name).filter((name) => name.startsWith("chat "))).toEqual([]);
  const later = { ...call, messageId: "msg_later" };
  announce(opencode, later);
  expect(await runner.permitModelCall(later)).toMatchObject({ isRefused: true });
});

test("the next turn of the same session, and another session, are permitted after an abort", async () => {
  const { opencode, runner, dispatch, done, call } = await begun();
  await runner.abort(dispatch.attemptId, "user_abort");
  const { opencodeSessionId = "" } = await done;
  const next = runner.run(dispatchOf("Again.", { opencodeSessionId }));
  await vi.waitFor(() => expect(opencode.prompts).toHaveLength(2), 20_000);
  const userMessageId = opencode.prompts[1]?.messageId ?? "";
  const nextCall = { sessionId: call.sessionId, userMessageId, messageId: "msg_next" };
  announce(opencode, nextCall);
  const permit = await runner.permitModelCall(nextCall);
  expect(permit.isRefused).toBe(false);
  expect(permit.context).toBeDefined();
  const other = { sessionId: "ses_other", userMessageId: "msg_other", messageId: "msg_its" };
  announce(opencode, other);
  expect(await runner.permitModelCall(other)).toEqual({ isRefused: false, context: undefined });
  await runner.abortAll("user_abort");
  await next.done;
});

test("a turn that succeeded does not refuse a call", async () => {
  const { opencode, runner, done, call, playRest } = await begun();
  playRest();
  expect(await done).toMatchObject({ outcome: "ok" });
  announce(opencode, call);
  expect(await runner.permitModelCall(call)).toEqual({ isRefused: false, context: undefined });
});

test("no call waits after the stream broke or OpenCode died", async () => {
  const { opencode, runner, call } = await begun();
  const first = runner.permitModelCall(call);
  opencode.breakStreams();
  expect(await first).toMatchObject({ isRefused: false });
  const second = runner.permitModelCall({ ...call, messageId: "msg_2" });
  await opencode.die();
  // The turn ended with its agent, so no request may be sent.
  expect(await second).toMatchObject({ isRefused: true });
});
