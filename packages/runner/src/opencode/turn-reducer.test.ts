/**
 * Tests the reducer with recordings of the real OpenCode 1.18.33 (recordings/README.md). real.test.ts tests, for the most
 * important events, that OpenCode still sends them.
 */
import { type AttributeKey, SPANS, type SpanDefinition } from "@valet/shared/spans";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  loadRecording,
  type RecordedTurn,
  recordingNames,
  relative,
  replay,
  serialisedLate,
  spansOf,
  treeOf,
} from "../../test/recordings.ts";
import type { Ending, Fact } from "../agent/facts.ts";
import { readEvent, type ToolState } from "./events.ts";
import { TurnReducer } from "./turn-reducer.ts";

/** The turns of each recording: names, starts and ends in ms since the recording began, and important attributes. */
const TREES: Readonly<Record<string, readonly string[]>> = {
  simple: [
    `
invoke_agent build 215–3733
  valet.agent.prepare 215–2221
  chat scripted-1 2221–2348 (100→20 tokens)
  execute_tool read 2343–2370
  chat scripted-1 2606–2722 (200→30 tokens)
  execute_tool edit 2722–2741
  chat scripted-1 2996–3069 (300→10 tokens)
  execute_tool bash 3069–3367 (exit 0)
  chat scripted-1 3552–3639 (400→15 tokens)`,
  ],
  "two-channels": [
    `
invoke_agent build 211–4934
  valet.agent.prepare 211–2920
  chat scripted-1 2920–3100 (110→11 tokens)
  execute_tool bash 3093–3685 (exit 0)
  chat scripted-1 4519–4581 (120→12 tokens)`,
    `
invoke_agent build 212–4727
  valet.agent.prepare 212–2916
  chat scripted-1 2916–3057 (210→21 tokens)
  execute_tool bash 3045–3671 (exit 0)
  chat scripted-1 3990–4037 (220→22 tokens)`,
  ],
  subagent: [
    `
invoke_agent build 61–4256
  valet.agent.prepare 61–2548
  chat scripted-1 2548–2660 (8000→70 tokens)
  execute_tool task 2660–3750
    invoke_agent general 2667–3746
      valet.agent.prepare 2667–2942
      chat scripted-1 2942–3102 (6000→24 tokens)
      execute_tool bash 3102–3267 (exit 0)
      chat scripted-1 3520–3556 (6200→9 tokens)
  chat scripted-1 4010–4044 (8300→9 tokens)`,
  ],
  "parallel-tools": [
    `
invoke_agent build 49–3770
  valet.agent.prepare 49–2674
  chat scripted-1 2674–2744 (100→30 tokens)
  execute_tool bash 2712–3254 (exit 0)
  execute_tool bash 2731–2843 (exit 3)
  execute_tool read 2744–2783 (error tool_failed)
  chat scripted-1 3520–3559 (200→12 tokens)`,
  ],
  retry: [
    `
invoke_agent build 41–4028
  valet.agent.prepare 41–2830
  chat scripted-1 2830–3903 (120→12 tokens)
    valet.llm.try 2830–2869 (error provider_rate_limited)
    valet.retry.wait 2869–3876
    valet.llm.try 3876–3903`,
  ],
  "cut-stream": [
    `
invoke_agent build 69–4494
  valet.agent.prepare 69–1874
  chat scripted-1 1874–4394 (140→9 tokens)
    valet.llm.try 1874–1965 (error provider_stream_cut)
    valet.retry.wait 1965–4364
    valet.llm.try 4364–4394`,
  ],
  error: [
    `
invoke_agent build 17–1859 (error provider_auth_failed)
  valet.agent.prepare 17–1791
  chat scripted-1 1791–1813 (error provider_auth_failed)`,
  ],
  "abort-then-prompt": [
    `
invoke_agent build 26–2747 (aborted user_abort)
  valet.agent.prepare 26–2252
  chat scripted-1 2252–2314
  execute_tool bash 2303–2684 (aborted user_abort)`,
    `
invoke_agent build 2758–3074
  valet.agent.prepare 2758–2939
  chat scripted-1 2939–2977 (8200→8 tokens)`,
  ],
  "abort-race": [
    `
invoke_agent build 26–2831 (aborted user_abort)
  valet.agent.prepare 26–2325
  chat scripted-1 2325–2393
  execute_tool bash 2383–2755 (aborted user_abort)`,
    `
invoke_agent build 2697–3299
  valet.agent.prepare 2697–3027
  chat scripted-1 3027–3096 (8200→8 tokens)`,
  ],
  "abort-in-retry": [
    `
invoke_agent build 27–2238 (aborted user_abort)
  valet.agent.prepare 27–1780
  chat scripted-1 1780–2232 (aborted user_abort)
    valet.llm.try 1780–1802 (error provider_unavailable)
    valet.retry.wait 1802–2232 (aborted user_abort)`,
  ],
  "prompt-while-busy": [
    `
invoke_agent build 18–4257
  valet.agent.prepare 18–1926
  chat scripted-1 1926–1988 (8000→30 tokens)
  execute_tool bash 1980–4117 (exit 0)`,
    `
invoke_agent build 2294–4473
  valet.agent.prepare 2294–4346
  chat scripted-1 4346–4372 (8200→8 tokens)`,
  ],
  permission: [
    `
invoke_agent build 186–2948
  valet.agent.prepare 186–2150
  chat scripted-1 2150–2199 (100→10 tokens)
  execute_tool bash 2199–2622 (exit 0)
    valet.permission.wait 2283–2598 (once)
  chat scripted-1 2790–2817 (150→8 tokens)`,
    `
invoke_agent build 2961–3658 (error permission_denied)
  valet.agent.prepare 2961–3209
  chat scripted-1 3209–3241 (100→10 tokens)
  execute_tool bash 3241–3590 (error permission_denied)
    valet.permission.wait 3241–3584 (reject)`,
  ],
  question: [
    `
invoke_agent build 20–2779
  valet.agent.prepare 20–1894
  chat scripted-1 1894–1952 (100→25 tokens)
  execute_tool question 1952–2282
    valet.question.wait 1952–2265
  chat scripted-1 2612–2658 (150→3 tokens)`,
  ],
  compaction: [
    `
invoke_agent build 56–2089
  valet.agent.prepare 56–1911
  chat scripted-1 1911–1948 (80→3 tokens)`,
    `
invoke_agent build 2434–2791
  valet.agent.prepare 2434–2597
  chat scripted-1 2597–2625 (80→3 tokens)`,
  ],
  "auto-compaction": [
    `
invoke_agent build 20–2665
  valet.agent.prepare 20–1887
  chat scripted-1 1887–1923 (127000→500 tokens)
  execute_tool bash 1923–2023 (exit 0)
  valet.compaction 2106–2330 (auto)
    chat scripted-1 2168–2224 (900→12 tokens)
  chat scripted-1 2492–2524 (700→9 tokens)`,
  ],
};

/** Returns the catalogue's key for a span's name. */
function patternFor(name: string): keyof typeof SPANS {
  const pattern = (Object.keys(SPANS) as (keyof typeof SPANS)[]).find((key) => {
    const brace = key.indexOf("{");
    return brace < 0 ? key === name : brace > 0 && name.startsWith(key.slice(0, brace));
  });
  if (pattern === undefined) throw new Error(`${name} is not in the catalogue`);
  return pattern;
}

function expectNested(facts: readonly Fact[]): void {
  const spans = spansOf(facts);
  const byId = new Map(spans.map((span) => [span.begin.spanId, span]));
  expect(byId.size).toBe(spans.length);
  expect(spans.filter(({ begin }) => begin.parentId === undefined)).toHaveLength(1);
  for (const { begin, end } of spans) {
    expect(end?.endMs, begin.name).toBeGreaterThan(begin.startMs);
    if (begin.parentId === undefined) continue;
    const parent = byId.get(begin.parentId);
    expect(parent?.begin.startMs, begin.name).toBeLessThanOrEqual(begin.startMs);
    expect(parent?.end?.endMs, begin.name).toBeGreaterThanOrEqual(end?.endMs as number);
  }
}

function expectCatalogued(facts: readonly Fact[]): void {
  const spans = spansOf(facts);
  const patternOf = new Map(spans.map(({ begin }) => [begin.spanId, patternFor(begin.name)]));
  for (const { begin, end } of spans) {
    const definition: SpanDefinition = SPANS[patternFor(begin.name)];
    const parent = begin.parentId === undefined ? "valet.turn" : patternOf.get(begin.parentId);
    expect(definition.parents, begin.name).toContain(parent);
    const attributes = { ...begin.attributes, ...end?.attributes };
    const present = Object.keys(attributes).filter((key) => attributes[key] !== undefined);
    expect(present, begin.name).toEqual(expect.arrayContaining([...definition.required]));
    const allowed = [...definition.required, ...definition.optional, ...Object.keys(definition.fixed ?? {})];
    expect(allowed, begin.name).toEqual(expect.arrayContaining(present));
    expect(attributes).toMatchObject(definition.fixed ?? {});
    expect(Object.keys(end?.content ?? {}).filter((key) => !allowed.includes(key as AttributeKey))).toEqual([]);
    expect(end?.errorType === undefined, begin.name).toBe(end?.outcome === "ok");
    if (end?.errorType !== undefined) expect(definition.errors, begin.name).toContain(end.errorType);
  }
}

test("every recording has its trees in this file", () => {
  expect(recordingNames.toSorted()).toEqual(Object.keys(TREES).toSorted());
});

describe.each(recordingNames)("%s", (name) => {
  const recording = loadRecording(name);
  const turns = replay(recording);

  test("the spans of each turn", () => {
    expect(turns.map(({ facts }) => `\n${treeOf(facts)}`)).toEqual(TREES[name]);
  });

  test("every span is ended, has a duration, is within its parent, and conforms to the catalogue", () => {
    for (const { facts } of turns) {
      expectNested(facts);
      expectCatalogued(facts);
    }
  });

  test("no message or part of a turn comes after its end", () => {
    for (const { reducer, endReadMs } of turns) {
      expect(reducer.hasEnded).toBe(true);
      const later = recording.events.filter(({ at }) => at > (endReadMs as number));
      const assistants = new Set<string>();
      for (const { event } of recording.events) {
        const read = readEvent(event);
        if (read?.type !== "message.updated" || read.properties.info.role !== "assistant") continue;
        if (reducer.userMessageIds.has(read.properties.info.parentID)) assistants.add(read.properties.info.id);
      }
      expect(assistants.size).toBeGreaterThan(0);
      for (const { event } of later) {
        const read = readEvent(event);
        if (read?.type === "message.updated") expect(assistants).not.toContain(read.properties.info.id);
        if (read?.type === "message.part.updated") expect(assistants).not.toContain(read.properties.part.messageID);
      }
    }
  });

  test("duplicate events change nothing", () => {
    const twice = replay(recording, (events) => events.flatMap((event) => [event, event]));
    expect(twice.map(({ facts }) => facts)).toEqual(turns.map(({ facts }) => facts));
  });
});

test("whatever events are lost, and however the turn is aborted, all spans end, nested and conforming to the catalogue", () => {
  const recordings = recordingNames.map(loadRecording);
  const endings: Ending[] = [
    { outcome: "error", errorType: "opencode_died" },
    { outcome: "error", errorType: "stuck_turn" },
    { outcome: "error", errorType: "provider_rate_limited" },
    { outcome: "superseded", errorType: "steered" },
  ];
  const course = fc.tuple(
    fc.constantFrom(...recordings),
    fc.constantFrom(...endings),
    fc.double({ min: 0, max: 1, noNaN: true }),
  );
  fc.assert(
    fc.property(course, fc.infiniteStream(fc.nat(15)), ([recording, ending, share], dice) => {
      const kept = Math.ceil(recording.events.length * share);
      const turns = replay(recording, (events) => events.slice(0, kept).filter(() => dice.next().value !== 0));
      const lastMs = recording.startedAt + (recording.events.at(-1)?.at ?? 0);
      for (const { reducer, facts } of turns) {
        const all = [...facts, ...reducer.close(lastMs, ending).map((fact) => relative(fact, recording.startedAt))];
        expectNested(all);
        expectCatalogued(all);
        expect(reducer.hasEnded).toBe(true);
      }
    }),
    { numRuns: 200 },
  );
});

test.each(["permission", "question", "subagent", "auto-compaction", "retry"])("%s, without any one event", (name) => {
  const recording = loadRecording(name);
  const lastMs = recording.startedAt + (recording.events.at(-1)?.at ?? 0);
  for (const [lost, { event }] of recording.events.entries()) {
    if (readEvent(event) === undefined) continue;
    for (const { reducer, facts } of replay(recording, (events) => events.filter((_, index) => index !== lost))) {
      const ending: Ending = { outcome: "error", errorType: "stuck_turn" };
      const all = [...facts, ...reducer.close(lastMs, ending).map((fact) => relative(fact, recording.startedAt))];
      expectNested(all);
      expectCatalogued(all);
    }
  }
});

const byId = (a: Fact, b: Fact) => `${a.spanId}${a.type}`.localeCompare(`${b.spanId}${b.type}`);
const factsOf = (turns: readonly RecordedTurn[]) => turns.map(({ facts }) => facts.toSorted(byId));

test.each(recordingNames)("%s, with the latest possible serialisation of events, has the same facts", (name) => {
  const recording = loadRecording(name);
  const expected = factsOf(replay(recording));
  const count = recording.events.length;
  const batch = fc.tuple(fc.integer({ min: 1, max: count }), fc.oneof(fc.constant(0), fc.nat(count)));
  fc.assert(
    fc.property(fc.infiniteStream(batch), (batches) => {
      expect(factsOf(replay(recording, (events) => serialisedLate(events, batches)))).toEqual(expected);
    }),
    { numRuns: 60 },
  );
});

/** Returns the attributes of a recording's spans of one kind at their ends. */
function chatsOf(name: string, pattern = "chat {model}"): Record<string, unknown>[] {
  const spans = replay(loadRecording(name)).flatMap(({ facts }) => spansOf(facts));
  return spans
    .filter(({ begin }) => patternFor(begin.name) === pattern)
    .map(({ begin, end }) => ({ ...begin.attributes, ...end?.attributes, ...end?.content, outcome: end?.outcome }));
}

describe("model calls in the conventions' terms", () => {
  test("each call has the endpoint's host, and whether an earlier turn compacted the history", () => {
    const { startedAt, events, calls } = loadRecording("simple");
    const prompt = calls.find(({ path }) => path.endsWith("/prompt_async"));
    const sessionId = /^\/session\/([^/]+)\//.exec(prompt?.path ?? "")?.[1] ?? "";
    const chats = (compacted: string[]) => {
      const reducer = new TurnReducer({
        attemptId: "att_1",
        sessionId,
        userMessageId: prompt?.body?.messageID ?? "",
        startMs: startedAt,
        isOthers: () => false,
        model: { ownServer: { "server.address": "models.example", "server.port": 443 }, compacted: new Set(compacted) },
      });
      const facts = events.flatMap(({ at, event }) => {
        const own = JSON.stringify(event).replaceAll(/"providerID":"[^"]*"/g, '"providerID":"valet"');
        const read = readEvent(JSON.parse(own));
        return read === undefined ? [] : reducer.apply(read, startedAt + at);
      });
      return spansOf(facts).filter(({ begin }) => begin.name.startsWith("chat "));
    };
    for (const { begin } of chats([sessionId])) {
      expect(begin.attributes).toMatchObject({
        "gen_ai.provider.name": "openai",
        "server.address": "models.example",
        "server.port": 443,
        "gen_ai.conversation.compacted": true,
      });
    }
    const other = chats(["ses_other"]).map(({ begin }) => begin.attributes["gen_ai.conversation.compacted"]);
    expect(other).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("every call streams and has a finish reason", () => {
    expect(
      chatsOf("simple").map((chat) => [chat["gen_ai.request.stream"], chat["gen_ai.response.finish_reasons"]]),
    ).toEqual([
      [true, ["tool_call"]],
      [true, ["tool_call"]],
      [true, ["tool_call"]],
      [true, ["stop"]],
    ]);
  });

  test.each(["error", "abort-in-retry"])("a failed call has the finish reason error: %s", (name) => {
    expect(chatsOf(name)).toMatchObject([{ "gen_ai.response.finish_reasons": ["error"] }]);
  });

  test("an answer with only tool calls has them as its output", () => {
    expect(chatsOf("parallel-tools")[0]?.["gen_ai.output.messages"]).toEqual([
      {
        type: "tool_call",
        id: expect.any(String),
        name: "bash",
        arguments: expect.objectContaining({ command: expect.any(String) }),
      },
      {
        type: "tool_call",
        id: expect.any(String),
        name: "bash",
        arguments: expect.objectContaining({ command: expect.any(String) }),
      },
      {
        type: "tool_call",
        id: expect.any(String),
        name: "read",
        arguments: expect.objectContaining({ filePath: expect.any(String) }),
      },
    ]);
  });

  test("a retried call has the answer, its usage and its first chunk; its tries have no usage", () => {
    const [chat] = chatsOf("retry");
    const tries = chatsOf("retry", "valet.llm.try");
    expect(chat).toMatchObject({
      outcome: "ok",
      "gen_ai.usage.input_tokens": 120,
      "gen_ai.response.finish_reasons": ["stop"],
    });
    expect(chat?.["gen_ai.response.time_to_first_chunk"]).toBeGreaterThan(1);
    expect(tries.map((each) => [each["valet.llm.attempt"], each.outcome])).toEqual([
      [1, "error"],
      [2, "ok"],
    ]);
    expect(tries[1]?.["gen_ai.response.time_to_first_chunk"]).toBeLessThan(1);
    // The wait says why while it lasts: whoever looks then sees no ended try.
    expect(chatsOf("retry", "valet.retry.wait")).toMatchObject([{ "valet.retry.after": "provider_rate_limited" }]);
    expect(JSON.stringify(tries)).not.toMatch(/usage|cost/);
  });

  test("only a successful tool has a result", () => {
    const tools = chatsOf("parallel-tools", "execute_tool {tool}");
    expect(tools.map((tool) => [tool.outcome, typeof tool["gen_ai.tool.call.result"]])).toEqual([
      ["ok", "string"],
      ["ok", "string"],
      ["error", "undefined"],
    ]);
  });

  test("only calls after a compaction are marked as compacted", () => {
    expect(chatsOf("auto-compaction").map((chat) => chat["gen_ai.conversation.compacted"])).toEqual([
      undefined,
      undefined,
      true,
    ]);
  });
});

test("an abort that nobody asked for is an error of OpenCode's, and no user's", () => {
  const recording = loadRecording("abort-then-prompt");
  const calls = recording.calls.filter(({ path }) => !path.endsWith("/abort"));
  const [turn] = replay({ ...recording, calls });
  expect(turn?.reducer.ending).toEqual({ outcome: "error", errorType: "opencode_error" });
});

test("ids depend on the attempt and on nothing else that varies", () => {
  const [turn] = replay(loadRecording("simple"));
  const [again] = replay(loadRecording("simple"));
  const ids = turn?.facts.map(({ spanId }) => spanId);
  expect(again?.facts.map(({ spanId }) => spanId)).toEqual(ids);
  const make = (attemptId: string) =>
    new TurnReducer({ attemptId, sessionId: "ses_1", userMessageId: "msg_1", startMs: 0, isOthers: () => false })
      .spanId;
  expect(make("att_1")).not.toBe(make("att_2"));
});

test("no fact's attributes contain content", () => {
  const text = JSON.stringify(
    replay(loadRecording("simple")).flatMap(({ facts }) =>
      facts.map((fact) => (fact.type === "end" ? { ...fact, content: undefined } : fact)),
    ),
  );
  for (const said of ["Reading the file", "stranger", "node --test", "greet.js", "before I change it"]) {
    expect(text).not.toContain(said);
  }
});

test("a running tool is heard when it has written something, not when OpenCode says that it has written nothing yet", () => {
  const timesHeard = (isKept: (state: ToolState) => boolean) => {
    const [turn] = replay(loadRecording("simple"), (events) =>
      events.filter(({ event }) => {
        const read = readEvent(event);
        const part = read?.type === "message.part.updated" ? read.properties.part : undefined;
        return part?.type !== "tool" || part.tool !== "bash" || isKept(part.state);
      }),
    );
    const bash = turn?.facts.find((fact) => fact.type === "begin" && fact.name === "execute_tool bash");
    expect(bash).toBeDefined();
    return turn?.heard.filter(({ spanId }) => spanId === bash?.spanId).length;
  };
  expect(timesHeard(({ status }) => status !== "completed")).toBeGreaterThan(0);
  expect(timesHeard((state) => state.status === "running" && !state.metadata?.output)).toBe(0);
});
