/** Tests which model calls the runner permits, with a stand-in for OpenCode. hostile.test.ts counts those of the real one. */
import { LIMITS } from "@valet/shared/limits";
import type { ValetSpans } from "@valet/shared/spans";
import { type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { FakeOpenCode, type FakeOptions, type RawEvent, type Rest } from "../test/fake-opencode.ts";
import { dispatchOf } from "../test/real-agent.ts";
import type { CallPermit } from "./jobs/agent-task.ts";
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
    onCommand: async () => {},
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

test("the first call of a turn gets the context of its span before its answer has been announced", async () => {
  const { opencode, runner, call, spans } = await begun();
  const { isRefused, context } = await runner.permitModelCall(call);
  expect(isRefused).toBe(false);
  announce(opencode, call);
  opencode.send({ type: "session.status", properties: { sessionID: call.sessionId, status: { type: "busy" } } });
  // Its report may take as long as two hooks may wait, and longer on a busy machine.
  await new Promise((resolve) => setTimeout(resolve, 2 * LIMITS.hookMs));
  expect(spans.at(-1)?.name).not.toBe("chat m");
  await vi.waitFor(() => expect(spans.at(-1)?.name).toBe("chat m"), 20_000);
  expect(context?.spanId).toBe(spans.at(-1)?.context.spanId as string);
  // A retry, whose answer has already been announced.
  expect(await runner.permitModelCall(call)).toEqual({ isRefused, context });
});

/** Asks for the permit of the first call. @returns another call of the same turn */
async function afterFirst({ runner, call }: Pick<Awaited<ReturnType<typeof begun>>, "runner" | "call">) {
  await runner.permitModelCall(call);
  return { ...call, messageId: "msg_second" };
}

/** Resolves to `waits` if the permit takes longer than any other work here. */
const soon = (permit: Promise<CallPermit>) =>
  Promise.race([permit, new Promise<string>((resolve) => setTimeout(resolve, 100, "waits"))]);

test("a later call waits until its answer has been announced", async () => {
  const all = await begun();
  const call = await afterFirst(all);
  const permit = all.runner.permitModelCall(call);
  expect(await soon(permit)).toBe("waits");
  announce(all.opencode, call);
  expect(await permit).toMatchObject({ isRefused: false });
});

test("a call for another message waits as well, and the turn's first call does not after it", async () => {
  const { opencode, runner, call } = await begun();
  const other = { ...call, userMessageId: "msg_other", messageId: "msg_its" };
  const permit = runner.permitModelCall(other);
  expect(await soon(permit)).toBe("waits");
  expect(await soon(runner.permitModelCall(call))).toMatchObject({ isRefused: false });
  announce(opencode, other);
  expect(await permit).toMatchObject({ isRefused: false });
});

test("the first call waits for a history that is being read, but no longer than any other", async () => {
  const { opencode, runner, call } = await begun();
  const mayRead = Promise.withResolvers<void>();
  opencode.mayRead = mayRead.promise;
  onTestFinished(() => mayRead.resolve());
  opencode.breakStreams();
  await vi.waitFor(() => expect(opencode.calls.some(({ path }) => path.endsWith("/message"))).toBe(true), 20_000);
  const permit = runner.permitModelCall(call);
  expect(await soon(permit)).toBe("waits");
  expect(await permit).toMatchObject({ isRefused: false });
}, 20_000);

test("a call of an aborted turn is refused without a wait", async () => {
  const { runner, dispatch, call } = await begun();
  const later = await afterFirst({ runner, call });
  void runner.abort(dispatch.attemptId, "user_abort");
  expect(await soon(runner.permitModelCall(later))).toMatchObject({ isRefused: true });
});

test("the first call waits, too, if the agent has begun an answer of which no permit was asked for", async () => {
  const { opencode, runner, call, spans } = await begun();
  announce(opencode, call);
  opencode.send({ type: "session.status", properties: { sessionID: call.sessionId, status: { type: "busy" } } });
  await vi.waitFor(() => expect(spans.at(-1)?.name).toBe("chat m"), 20_000);
  const later = { ...call, messageId: "msg_second" };
  const permit = runner.permitModelCall(later);
  expect(await soon(permit)).toBe("waits");
  announce(opencode, later);
  expect(await permit).toMatchObject({ isRefused: false });
});

test("a later call that no event announces is permitted after a timeout", async () => {
  const all = await begun();
  expect(await all.runner.permitModelCall(await afterFirst(all))).toMatchObject({ isRefused: false });
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
  const { runner, done, call, playRest } = await begun();
  playRest();
  expect(await done).toMatchObject({ outcome: "ok" });
  // Nor does it hold one up, which may be a later turn's.
  expect(await soon(runner.permitModelCall(call))).toEqual({ isRefused: false, context: undefined });
});

test("no call waits after the stream broke or OpenCode died", async () => {
  const { opencode, runner, call } = await begun();
  const second = runner.permitModelCall(await afterFirst({ runner, call }));
  opencode.breakStreams();
  expect(await second).toMatchObject({ isRefused: false });
  const third = runner.permitModelCall({ ...call, messageId: "msg_3" });
  await opencode.die();
  // The turn ended with its agent, so no request may be sent.
  expect(await third).toMatchObject({ isRefused: true });
});
