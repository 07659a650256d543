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
  const answer = { id: "msg_2", role: "assistant", parentID: "msg_1", providerID: "valet", modelID: "m" };
  const announce = () => message({ ...answer, time: { created: T + 1 } });
  if (isAnnounced) announce();
  const permit = () => facts.push(...reducer.recordRequest(CALL, T + 5));
  if (isPermitted) permit();
  const busy = () => tell("session.status", { sessionID: "ses_1", status: { type: "busy" } }, T + 10);
  const part = (part: object, atMs: number) =>
    tell("message.part.updated", { part: { id: "prt_1", sessionID: "ses_1", messageID: "msg_2", ...part } }, atMs);
  const report = (request = REQUEST) => apply(modelRequestEvent(request), T + 42);
  const begun = () => facts.filter((fact): fact is BeginFact => fact.type === "begin" && fact.name.startsWith("chat "));
  const ended = (spanId: string | undefined) =>
    facts.find((fact): fact is EndFact => fact.type === "end" && fact.spanId === spanId);
  const abort = () => reducer.cut({ outcome: "aborted", errorType: "user_abort" });
  return { reducer, facts, announce, permit, abort, busy, part, report, begun, ended };
}

test("a call begins when its request leaves, with the request's settings, and holds what was sent", () => {
  const { reducer, facts, busy, report, begun, ended } = setUp();
  busy();
  expect([begun(), reducer.holdsCall]).toEqual([[], true]);
  report();
  expect(begun()).toMatchObject([{ startMs: T + 40, attributes: { "valet.llm.start_source": "hook", ...SETTINGS } }]);
  expect(reducer.holdsCall).toBe(false);
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

test("a call that left before an abort has a span, whatever comes first; a call that was refused has none", () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(["announce", "abort", "report"] as const, { minLength: 3 }), (order) => {
      const all = setUp({ isAnnounced: false });
      for (const what of order) all[what]();
      expect(all.begun()).toMatchObject(FROM_HOOK);
    }),
  );
  const refused = setUp({ isAnnounced: false });
  refused.abort();
  expect(refused.reducer.refuses(CALL)).toBe(true);
  refused.announce();
  refused.busy();
  refused.facts.push(...refused.reducer.close(T + 99, { outcome: "aborted", errorType: "user_abort" }));
  expect(refused.begun()).toEqual([]);
});

test("what was told ahead of one answer does not count for another", () => {
  const { announce, busy, report, begun } = setUp({ isAnnounced: false, isPermitted: false });
  report({ ...REQUEST, messageId: "msg_other" });
  announce();
  busy();
  expect(begun()).toEqual([]);
});

const FROM_EVENTS = [{ startMs: T + 10, attributes: { "valet.llm.start_source": "event" } }];

test.each([
  ["the time for it is over", ({ reducer, facts }) => facts.push(...reducer.beginHeldCalls())],
  ["the answer begins", ({ part }) => part({ type: "step-start" }, T + 60)],
  [
    "the turn ends",
    ({ reducer, facts }) => facts.push(...reducer.close(T + 99, { outcome: "aborted", errorType: "user_abort" })),
  ],
] satisfies [string, (set: ReturnType<typeof setUp>) => unknown][])(
  "without a report a call begins by OpenCode's event, as soon as %s",
  (_what, happens) => {
    const set = setUp();
    set.busy();
    happens(set);
    expect(set.begun()).toMatchObject(FROM_EVENTS);
    expect(set.reducer.holdsCall).toBe(false);
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
  expect([begun(), reducer.holdsCall]).toEqual([[], true]);
  reducer.recordRequest(CALL, T + 12);
  report();
  expect(begun()).toMatchObject(FROM_HOOK);
});

test("without the plugin a call begins with OpenCode's event, once the time for a report is over", () => {
  const { reducer, facts, busy, begun } = setUp({ isPermitted: false });
  busy();
  expect([begun(), reducer.holdsCall]).toEqual([[], true]);
  facts.push(...reducer.beginHeldCalls());
  expect(begun()).toMatchObject(FROM_EVENTS);
});

test("a report of a call that was refused, of another session or of a message that nobody knows begins nothing", () => {
  const { reducer, report, begun } = setUp();
  report({ ...REQUEST, opencodeSessionId: "ses_other" });
  report({ ...REQUEST, messageId: "msg_9" });
  reducer.cut({ outcome: "aborted", errorType: "user_abort" });
  expect(reducer.refuses(CALL)).toBe(true);
  report();
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
