/** What the plugin's reports of requests do to model calls, and what is taken out of their content. */
import type { ModelRequest } from "@valet/shared/protocol/model-request";
import { boundedJson } from "@valet/shared/text";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { BeginFact, EndFact, Fact } from "../agent/facts.ts";
import { REDACTED, SecretValues } from "../secrets/secret-values.ts";
import { type AgentEvent, readEvent } from "./events.ts";
import { modelRequestEvent } from "./model-request.ts";
import { TurnReducer } from "./turn-reducer.ts";

const T = 1_800_000_000_000;
const CALL = { sessionId: "ses_1", messageId: "msg_2", userMessageId: "msg_1" };
const PARAMS = { temperature: 0.5, topP: 1, topK: 40, maxTokens: 8_000, reasoningLevel: "high" };
const REQUEST: ModelRequest = {
  opencodeSessionId: "ses_1",
  messageId: "msg_2",
  userMessageId: "msg_1",
  atMs: T + 40,
  params: PARAMS,
  input: '[{"role":"user"}]',
};
const SETTINGS = {
  "gen_ai.request.temperature": 0.5,
  "gen_ai.request.top_p": 1,
  "gen_ai.request.top_k": 40,
  "gen_ai.request.max_tokens": 8_000,
  "gen_ai.request.reasoning.level": "high",
};

/** A prompt whose answer OpenCode has announced. */
function setUp({ isPermitted = true, isAnnounced = true } = {}) {
  const facts: Fact[] = [];
  const reducer = new TurnReducer({
    attemptId: "att_1",
    sessionId: "ses_1",
    userMessageId: "msg_1",
    startMs: T,
    isOthers: () => false,
  });
  const apply = (event: AgentEvent, atMs: number) => facts.push(...reducer.apply(event, atMs));
  const tell = (type: string, properties: object, atMs: number) => {
    const event = readEvent({ type, properties });
    if (event === undefined) throw new Error("no event");
    apply(event, atMs);
  };
  const message = (info: object) =>
    tell("message.updated", { info: { sessionID: "ses_1", agent: "build", ...info } }, T);
  message({ id: "msg_1", role: "user", time: { created: T } });
  const said = { id: "msg_2", role: "assistant", parentID: "msg_1", providerID: "valet", modelID: "m" };
  const announce = () => message({ ...said, time: { created: T + 1 } });
  if (isAnnounced) announce();
  const permit = () => facts.push(...reducer.recordRequest(CALL, T + 5));
  if (isPermitted) permit();
  const busy = () => tell("session.status", { sessionID: "ses_1", status: { type: "busy" } }, T + 10);
  const retry = (atMs: number) =>
    tell(
      "session.status",
      { sessionID: "ses_1", status: { type: "retry", attempt: 1, message: "Overloaded", next: atMs + 9_000 } },
      atMs,
    );
  const part = (part: object, atMs: number) =>
    tell("message.part.updated", { part: { id: "prt_1", sessionID: "ses_1", messageID: "msg_2", ...part } }, atMs);
  const report = (request = REQUEST) => apply(modelRequestEvent(request), T + 42);
  const begun = () => facts.filter((fact): fact is BeginFact => fact.type === "begin" && fact.name.startsWith("chat "));
  const ended = (spanId: string | undefined) =>
    facts.find((fact): fact is EndFact => fact.type === "end" && fact.spanId === spanId);
  const answer = (startedMs: number) => {
    const call = { callId: "call", opencodeSessionId: "ses_1", startedMs, status: 200 };
    apply({ type: "provider.call", properties: { sessionID: "ses_1", call } }, startedMs + 1);
  };
  const abort = () => reducer.cut({ outcome: "aborted", errorType: "user_abort" });
  return { reducer, facts, announce, permit, answer, abort, busy, retry, part, report, begun, ended };
}

test("a call begins when its request leaves, with the request's settings, and holds what was sent", () => {
  const { reducer, facts, busy, report, begun, ended } = setUp();
  busy();
  expect([begun(), reducer.heldSinceMs]).toEqual([[], T + 10]);
  report();
  expect(begun()).toMatchObject([{ startMs: T + 40, attributes: { "valet.llm.start_source": "hook", ...SETTINGS } }]);
  expect(reducer.heldSinceMs).toBeUndefined();
  expect(facts.filter(({ type }) => type === "heard")).toMatchObject([{ what: "request", atMs: T + 40 }]);
  busy();
  facts.push(...reducer.close(T + 99, { outcome: "aborted", errorType: "user_abort" }));
  expect(begun()).toHaveLength(1);
  expect(ended(begun()[0]?.spanId)?.content).toMatchObject({ "gen_ai.input.messages": [{ role: "user" }] });
});

test("a report that is ahead of OpenCode's event begins the call once", () => {
  const { busy, report, begun } = setUp();
  report();
  busy();
  expect(begun()).toMatchObject(FROM_HOOK);
});

const FROM_HOOK = [{ startMs: T + 40, attributes: { "valet.llm.start_source": "hook" } }];

test("permit and report may be ahead of the event that announces the answer", () => {
  const { facts, announce, busy, report, begun } = setUp({ isAnnounced: false });
  report();
  expect(begun()).toEqual([]);
  announce();
  busy();
  expect(begun()).toMatchObject(FROM_HOOK);
  expect(facts.filter(({ type }) => type === "heard").at(-1)).toMatchObject({ what: "request", atMs: T + 40 });
});

const END = { outcome: "aborted", errorType: "user_abort" } as const;

test("in an aborted turn, a call has a span if and only if its request left, in any order of the events", () => {
  const steps = ["permit", "announce", "busy", "abort"] as const;
  const last = fc.constantFrom("report", "refuse", "nothing" as const);
  const order = last.chain((what) => fc.shuffledSubarray([...steps, what], { minLength: steps.length + 1 }));
  fc.assert(
    fc.property(order, (told) => {
      const at = (what: (typeof told)[number]) => told.indexOf(what);
      fc.pre(at("permit") < at("abort") && at("announce") < at("busy"));
      fc.pre(!told.includes("refuse") || at("abort") < at("refuse"));
      const all = setUp({ isAnnounced: false, isPermitted: false });
      const does = { ...all, refuse: () => all.reducer.refuses(CALL), nothing: () => {} };
      for (const what of told) does[what]();
      if (!told.includes("nothing")) all.facts.push(...all.reducer.beginHeldCalls(T + 99));
      all.facts.push(...all.reducer.close(T + 99, END));
      expect(all.begun()).toMatchObject(told.includes("report") ? FROM_HOOK : []);
      expect(all.begun()).toHaveLength(told.includes("report") ? 1 : 0);
    }),
  );
});

test("what was told ahead of one answer does not count for another", () => {
  const { announce, busy, report, begun } = setUp({ isAnnounced: false, isPermitted: false });
  report({ ...REQUEST, messageId: "msg_other" });
  announce();
  busy();
  expect(begun()).toEqual([]);
});

test("a late report of another answer does not displace what was told ahead", () => {
  const { facts, reducer, announce, busy, report, begun } = setUp({ isAnnounced: false });
  report();
  report({ ...REQUEST, messageId: "msg_other" });
  reducer.refuses({ ...CALL, messageId: "msg_other" });
  announce();
  busy();
  expect(begun()).toMatchObject(FROM_HOOK);
  expect(facts.filter(({ type }) => type === "heard")).toMatchObject([{ what: "request", atMs: T + 40 }]);
});

test("without a report, a request that was permitted ahead counts as sent then", () => {
  const { facts, reducer, announce, busy } = setUp({ isAnnounced: false });
  announce();
  busy();
  facts.push(...reducer.beginHeldCalls(T + 10));
  expect(facts.filter(({ type }) => type === "heard")).toMatchObject([{ what: "request", atMs: T + 5 }]);
});

test("a call is held for its own time, and by the answer to an earlier call not begun", () => {
  const { facts, reducer, busy, answer, begun } = setUp();
  busy();
  answer(T + 9);
  facts.push(...reducer.beginHeldCalls(T + 9));
  expect([begun(), reducer.heldSinceMs]).toEqual([[], T + 10]);
});

test("a late report of a failed try does not begin the next one", () => {
  const { facts, busy, retry, report } = setUp();
  busy();
  retry(T + 60);
  report();
  const tries = () => facts.filter((fact) => fact.type === "begin" && fact.name === "valet.llm.try");
  expect(tries()).toHaveLength(1);
  report({ ...REQUEST, atMs: T + 90 });
  expect(tries()).toHaveLength(2);
});

const FROM_EVENTS = [{ startMs: T + 10, attributes: { "valet.llm.start_source": "event" } }];

test.each([
  ["the time for it is over", ({ reducer, facts }) => facts.push(...reducer.beginHeldCalls(T + 10))],
  ["the answer begins", ({ part }) => part({ type: "step-start" }, T + 60)],
  [
    "the turn ends",
    ({ reducer, facts }) => facts.push(...reducer.close(T + 99, { outcome: "error", errorType: "opencode_died" })),
  ],
  ["the provider answers", ({ answer }) => answer(T + 60)],
] satisfies [string, (set: ReturnType<typeof setUp>) => unknown][])(
  "without a report a call begins by OpenCode's event, as soon as %s",
  (_what, happens) => {
    const set = setUp();
    set.busy();
    happens(set);
    expect(set.begun()).toMatchObject(FROM_EVENTS);
    expect(set.reducer.heldSinceMs).toBeUndefined();
    // A late report adds what it tells, and begins nothing.
    set.report();
    expect(set.begun()).toHaveLength(1);
    set.facts.push(...set.reducer.close(T + 120, { outcome: "aborted", errorType: "user_abort" }));
    const { attributes } = set.ended(set.begun()[0]?.spanId) ?? {};
    if (_what !== "the turn ends") expect(attributes).toMatchObject(SETTINGS);
  },
);

test("a call whose permit is still on its way waits for the report as well", () => {
  const { reducer, busy, report, begun } = setUp({ isPermitted: false });
  busy();
  expect([begun(), reducer.heldSinceMs]).toEqual([[], T + 10]);
  reducer.recordRequest(CALL, T + 12);
  report();
  expect(begun()).toMatchObject(FROM_HOOK);
});

test("without the plugin a call begins with OpenCode's event, once the time for a report is over", () => {
  const { reducer, facts, busy, begun } = setUp({ isPermitted: false });
  busy();
  expect([begun(), reducer.heldSinceMs]).toEqual([[], T + 10]);
  facts.push(...reducer.beginHeldCalls(T + 10));
  expect(begun()).toMatchObject(FROM_EVENTS);
});

test("a report of another session or of a message that nobody knows begins nothing", () => {
  const { report, begun } = setUp();
  report({ ...REQUEST, opencodeSessionId: "ses_other" });
  report({ ...REQUEST, messageId: "msg_9" });
  expect(begun()).toEqual([]);
});

test("content has no secret, whole or begun before a cut, wherever the plugin has cut", () => {
  const secret = "canary-key-of-the-model";
  const secrets = new SecretValues();
  secrets.add(secret);
  const text = fc.string({ unit: fc.constantFrom("a", '"', "é", "\n") });
  fc.assert(
    fc.property(text, text, fc.integer({ min: 40, max: 300 }), (before, after, max) => {
      const said = [{ role: "user", parts: [{ type: "text", content: before.repeat(9) + secret + after.repeat(9) }] }];
      const { content } = modelRequestEvent({ ...REQUEST, input: boundedJson(said, max) }, secrets).properties;
      const shown = JSON.stringify(content["gen_ai.input.messages"]);
      expect(shown.replaceAll(REDACTED, "")).not.toMatch(/canary-k|y-of-the-model/);
    }),
  );
});
