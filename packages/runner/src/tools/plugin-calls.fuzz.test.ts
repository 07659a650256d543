/** Whatever arrives where the plugin calls the runner: it is read or refused, and spans that come of it are ones that a backend takes. */
import fc from "fast-check";
import { expect } from "vitest";
import { fuzz } from "../../../shared/test/fuzz-runs.ts";
import type { Fact } from "../agent/facts.ts";
import { readEvent } from "../opencode/events.ts";
import { modelRequestEvent } from "../opencode/model-request.ts";
import { TurnReducer } from "../opencode/turn-reducer.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import { type PluginCall, readPluginCall } from "./plugin-call.ts";

const T = 1_800_000_000_000;
const SECRET = "canary-key-of-the-model";

/** From lists, since an arbitrary for any JSON would take most of the time. */
const ODD = [
  null,
  true,
  [],
  [[]],
  {},
  { a: 1 },
  -1,
  0.5,
  1e300,
  2 ** 60,
  "",
  "1",
  "high",
  "canary level",
  "x".repeat(200),
  SECRET,
  "__proto__",
];
const odd = fc.constantFrom<unknown>(...ODD);
const id = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("ses_1", "msg_1", "msg_2") },
  { weight: 1, arbitrary: odd },
);
const time = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: T - 1000, max: T + 1000 }) },
  { weight: 1, arbitrary: fc.oneof(fc.constantFrom(-1, 1e300, Number.MAX_SAFE_INTEGER, 0.25), odd) },
);
const tokens = fc.oneof(fc.nat(), odd);
const content = fc.oneof(
  fc.constantFrom('[{"role":"user"}]', "[", "1", '{"__proto__":[]}'),
  fc.constant(`[{"role":"user","parts":["${SECRET.slice(0, 9)}…"]}]`),
  odd,
);
const settings = fc.record({ temperature: odd, topP: odd, topK: odd, maxTokens: odd, reasoningLevel: odd });
const names = { opencodeSessionId: id, messageId: id, userMessageId: id };

const bodies = fc.oneof(
  fc.record({
    modelRequest: fc.record({ ...names, atMs: time, params: fc.oneof(settings, odd), input: content, system: content }),
  }),
  fc.record({
    providerCall: fc.record(
      {
        callId: id,
        opencodeSessionId: id,
        startedMs: time,
        status: fc.oneof(fc.constantFrom(200, 429, 500), odd),
        endedMs: time,
        finish: fc.oneof(fc.constantFrom("stop", "tool_calls"), odd),
        tokens: fc.record({
          total: tokens,
          input: tokens,
          output: tokens,
          reasoning: tokens,
          cache: fc.record({ read: tokens, write: tokens }),
        }),
        costUsd: tokens,
        prices: fc.record({ input: tokens, cacheRead: tokens, cacheWrite: tokens }),
      },
      { requiredKeys: ["callId", "opencodeSessionId", "startedMs", "status"] },
    ),
  }),
  fc.record({ providerBytes: fc.record({ opencodeSessionId: id, atMs: time }) }),
  fc.record({ modelCall: fc.record(names) }),
  fc.record({
    shell: fc.record({ opencodeSessionId: id, call: fc.record({ messageId: id, callId: odd }) }, { requiredKeys: [] }),
  }),
  fc.record({
    ...names,
    callId: odd,
    request: fc.record({ action: fc.constantFrom("spawn", "list", "format"), prompt: odd }),
  }),
  odd,
);

/** A prompt whose answer OpenCode has announced, and the call that it is about to make. */
function setUp() {
  const facts: Fact[] = [];
  const reducer = new TurnReducer({
    attemptId: "att_1",
    sessionId: "ses_1",
    userMessageId: "msg_1",
    startMs: T,
    isOthers: () => false,
  });
  const tell = (type: string, properties: object) => {
    const event = readEvent({ type, properties });
    if (event !== undefined) facts.push(...reducer.apply(event, T));
  };
  const info = { sessionID: "ses_1", agent: "build" };
  tell("message.updated", { info: { ...info, id: "msg_1", role: "user", time: { created: T } } });
  const model = { parentID: "msg_1", providerID: "valet", modelID: "m" };
  tell("message.updated", { info: { ...info, ...model, id: "msg_2", role: "assistant", time: { created: T } } });
  tell("session.status", { sessionID: "ses_1", status: { type: "busy" } });
  return { reducer, facts };
}

function give({ reducer, facts }: ReturnType<typeof setUp>, call: PluginCall, secrets: SecretValues): void {
  if (call.about === "modelRequest") facts.push(...reducer.apply(modelRequestEvent(call.modelRequest, secrets), T));
  else if (call.about === "providerCall") {
    facts.push(
      ...reducer.apply(
        {
          type: "provider.call",
          properties: { sessionID: call.providerCall.opencodeSessionId, call: call.providerCall },
        },
        T,
      ),
    );
  } else if (call.about === "modelCall") {
    const { opencodeSessionId: sessionId, messageId, userMessageId } = call.modelCall;
    facts.push(...reducer.recordRequest({ sessionId, messageId, userMessageId }, T));
  }
}

const isTime = (ms: number) => ms >= 0 && ms * 1e6 < 2 ** 64;
const secrets = new SecretValues();
secrets.add(SECRET);

/** Returns what a backend would refuse of a fact, or a span must not hold. */
function faultIn(fact: Fact): string | undefined {
  const atMs = fact.type === "begin" ? fact.startMs : fact.type === "end" ? fact.endMs : fact.atMs;
  if (!isTime(atMs)) return `the time ${atMs}`;
  if (fact.type === "heard") return undefined;
  for (const [key, value] of Object.entries(fact.attributes)) {
    if (typeof value === "number" && !Number.isFinite(value)) return `${key} is ${value}`;
    if (typeof value === "string" && value.includes("canary")) return `${key} is ${value}`;
  }
  const level = fact.attributes["gen_ai.request.reasoning.level"];
  if (level !== undefined && !/^[a-z]{1,16}$/.test(String(level))) return `the level ${level}`;
  return fact.type === "end" && JSON.stringify(fact.content).includes("canary-k") ? "a secret" : undefined;
}

fuzz(
  "any calls are read or refused, and the spans of a turn stay ones that a backend takes",
  fc.array(bodies, { maxLength: 3 }),
  (given) => {
    const turn = setUp();
    for (const body of given) {
      const call = readPluginCall(JSON.parse(JSON.stringify(body) ?? "null"));
      if (call !== undefined) give(turn, call, secrets);
    }
    turn.facts.push(...turn.reducer.close(T + 2000, { outcome: "aborted", errorType: "user_abort" }));
    const faults = turn.facts.flatMap((fact) => faultIn(fact) ?? []);
    const calls = turn.facts.filter((fact) => fact.type === "begin" && fact.name.startsWith("chat "));
    if (faults.length > 0 || calls.length > 1) expect({ faults, calls }).toEqual({ faults: [], calls: [] });
  },
);
