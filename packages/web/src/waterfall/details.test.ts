import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { encodeSkeleton } from "@valet/shared/protocol/skeleton-codec";
import { describe, expect, test } from "vitest";
import { barsOf, endOf } from "./bars.ts";
import { detailOf, explainError, lastSeenUs, openNote, sealNote } from "./details.ts";
import type { Item } from "./item.ts";
import { errorSources, nameMatches, nextItem } from "./matches.ts";
import { buildModel } from "./model.ts";
import { readOtlp } from "./otlp.ts";
import { missingIn, SpanStore } from "./span-store.ts";

const TRACE = "a".repeat(32);
const START = 1_700_000_000_000_000;
const spanOf = (name: string, more: Partial<SkeletonSpan> = {}): SkeletonSpan => ({
  spanId: "0000000000000001",
  name,
  kind: 1,
  startUs: START,
  endUs: START + 10_000_000,
  outcome: "ok",
  isError: false,
  isSealed: false,
  links: [],
  ...more,
});
const itemOf = (span: SkeletonSpan) => buildModel(TRACE, [span]).order[0] as Item;
const otlpOf = (attributes: Readonly<Record<string, string | number>>) =>
  readOtlp([
    {
      scopeSpans: [
        {
          spans: [
            {
              spanId: "0000000000000001",
              attributes: Object.entries(attributes).map(([key, value]) => ({
                key,
                value: typeof value === "string" ? { stringValue: value } : { intValue: String(value) },
              })),
            },
          ],
        },
      ],
    },
  ]).get("0000000000000001");

test.each([-47, 47])(
  "a runner whose clock is %i minutes off is told, and neither ages nor the critical path are by it",
  (minutes) => {
    const offUs = minutes * 60_000_000;
    const [prompt, dispatch, turn, chat] = ["1", "2", "3", "4"];
    const dispatched = { startUs: START + 1_000_000, endUs: START + 1_030_000 };
    const model = buildModel(TRACE, [
      spanOf("valet.prompt", { spanId: prompt, endUs: undefined }),
      spanOf("valet.prompt.dispatch", { spanId: dispatch, parentSpanId: prompt, ...dispatched }),
      spanOf("valet.turn", {
        spanId: turn,
        parentSpanId: dispatch,
        startUs: START + 1_010_000 + offUs,
        endUs: undefined,
      }),
      spanOf("chat m", {
        spanId: chat,
        parentSpanId: turn,
        startUs: START + 2_010_000 + offUs,
        endUs: START + 4_010_000 + offUs,
      }),
    ]);
    const where = minutes < 0 ? "behind" : "ahead of";
    const said = `The runner's clock is about 47 m 00 s ${where} the Worker's; its spans are shown by its own clock.`;
    expect(model.clockTexts).toEqual([said]);
    const itemIn = (id = "") => model.items.get(id) as Item;
    const nowUs = START + 10_000_000;
    expect(model.lastUs).toBeLessThan(nowUs);
    const open = itemIn(turn);
    expect(Math.round((endOf(open, nowUs) - open.span.startUs) / 1e6)).toBe(9);
    const path = itemIn(chat).critical.map(([from, to]) => [from - itemIn(chat).span.startUs, to - from]);
    expect(path).toEqual([[0, 2_000_000]]);
    const heard = otlpOf({ "valet.last_heard_ms": (START + 6_010_000 + offUs) / 1000 });
    expect(openNote(open, heard, nowUs / 1000)).toBeUndefined();
    expect(openNote({ ...open, children: [] }, heard, nowUs / 1000)?.replaceAll("\u00a0", " ")).toMatch(
      /^last heard [34] s ago$/,
    );
  },
);

describe("an open model call", () => {
  const open = itemOf(spanOf("chat gpt", { endUs: undefined, outcome: undefined }));
  const nowMs = START / 1000 + 46_000;
  test("has sent no byte yet, which only its attributes tell", () => {
    expect(openNote(open, undefined, nowMs)).toBeUndefined();
    expect(openNote(open, otlpOf({}), nowMs)).toBe("no byte yet");
    expect(barsOf(open, otlpOf({}), nowMs * 1000)).toMatchObject([{ kind: "model", form: "wait", isOpen: true }]);
  });
  test("was last heard of a while ago", () => {
    const heard = otlpOf({ "valet.llm.last_byte_ms": START / 1000 + 40_000 });
    expect(openNote(open, heard, nowMs)?.replaceAll("\u00a0", " ")).toBe("last heard 6 s ago");
    expect(barsOf(open, heard, nowMs * 1000)).toMatchObject([{ kind: "model", form: "solid", isOpen: true }]);
  });
});

test("an open model call that streams shows when its first byte came", () => {
  const open = itemOf(spanOf("chat gpt", { endUs: undefined, outcome: undefined }));
  const heard = { "valet.llm.last_byte_ms": START / 1000 + 9_000, "valet.llm.first_content_ms": START / 1000 + 2_000 };
  expect(barsOf(open, otlpOf(heard), START + 9_500_000)).toMatchObject([
    { form: "wait", toUs: START + 2_000_000, isOpen: false },
    { form: "solid", toUs: START + 9_500_000, isOpen: true },
  ]);
});

describe("a sealed span", () => {
  const sealed = itemOf(spanOf("execute_tool bash", { isSealed: true, isError: true, outcome: "lost" }));
  test("is solid up to the last sign of life, and says why", () => {
    const otlp = otlpOf({ "valet.last_seen_ms": START / 1000 + 4_000, "error.type": "sandbox_gone" });
    expect(lastSeenUs(sealed, otlp)).toBe(START + 4_000_000);
    expect(barsOf(sealed, otlp, 0).map(({ toUs }) => toUs - START)).toEqual([4_000_000, 10_000_000]);
    expect(sealNote(sealed, otlp)).toBe("sealed: the sandbox no longer exists");
  });
  test("is unknown all along as long as its attributes are", () => {
    expect(barsOf(sealed, undefined, 0)).toMatchObject([{ fromUs: START, form: "lost" }]);
  });
  test("never has a bar beyond its ends, whatever the sign of life is", () => {
    for (const ms of [0, 1e18]) {
      for (const { fromUs, toUs } of barsOf(sealed, otlpOf({ "valet.last_seen_ms": ms }), 0)) {
        expect(toUs).toBeGreaterThanOrEqual(fromUs);
      }
    }
  });
});

test("an ended model call shows its first byte, and its tokens", () => {
  const otlp = otlpOf({ "gen_ai.usage.input_tokens": 11_200, "gen_ai.usage.output_tokens": 214 });
  expect(detailOf(itemOf(spanOf("chat gpt")), otlp).replaceAll("\u00a0", " ")).toBe("11.2 k in · 214 out");
});

test("an error type of Valet is explained, another's is not", () => {
  expect(explainError("sandbox_gone")).toEqual({
    meaning: "The sandbox no longer exists.",
    remedy: "Try again: the session starts a new sandbox.",
  });
  for (const type of [undefined, "SIGSEGV", "constructor", "__proto__"]) expect(explainError(type)).toBeUndefined();
});

test("OTLP that is not as it should be is left out", () => {
  for (const bad of [null, 1, {}, { scopeSpans: 1 }, { scopeSpans: [null, { spans: [null, { spanId: 3 }] }] }]) {
    expect(readOtlp([bad]).size).toBe(0);
  }
  const [span] = readOtlp([
    { scopeSpans: [{ spans: [{ spanId: "x", attributes: [null, { key: 1 }, { key: "a" }] }] }] },
  ]).values();
  expect([...(span?.attributes ?? [])]).toEqual([["a", ""]]);
});

test("what has ended stays ended, whatever comes later", () => {
  const store = new SpanStore();
  const open = spanOf("chat gpt", { endUs: undefined, outcome: undefined });
  expect(store.take(encodeSkeleton([open]))).toBe(true);
  expect(store.take(encodeSkeleton([spanOf("chat gpt")]))).toBe(true);
  expect(store.take(encodeSkeleton([open]))).toBe(false);
  expect(store.take(encodeSkeleton([spanOf("chat gpt")]))).toBe(false);
  expect([...store.spans()]).toMatchObject([{ endUs: START + 10_000_000 }]);
});

test("an open span whose end is lost is no longer there, and one that has ended stays", () => {
  const store = new SpanStore();
  const [open, ended] = [
    spanOf("chat gpt", { endUs: undefined }),
    spanOf("execute_tool bash", { spanId: "b".repeat(16) }),
  ];
  store.take(encodeSkeleton([open, ended]));
  expect(store.open()).toEqual([open.spanId]);
  expect(missingIn([encodeSkeleton([ended])], store.open())).toEqual([open.spanId]);
  expect(missingIn([encodeSkeleton([open])], store.open())).toEqual([]);
  expect(store.lose([ended.spanId, "0".repeat(16)])).toBe(false);
  expect(store.lose([open.spanId])).toBe(true);
  expect([...store.spans()]).toMatchObject([{ spanId: ended.spanId }]);
  expect(store.take(encodeSkeleton([open]))).toBe(true);
});

test("matches and errors follow each other from top to bottom, and begin anew", () => {
  const id = (at: number) => at.toString(16).padStart(16, "0");
  const model = buildModel(
    TRACE,
    [1, 2, 3, 4].map((at) =>
      spanOf(at === 3 ? "other" : "chat", { spanId: id(at), startUs: START + at, isError: at > 2, outcome: undefined }),
    ),
  );
  const found = nameMatches(model, " CHAT ");
  expect([...found]).toEqual([id(1), id(2), id(4)]);
  const next = (from: number | undefined, by: 1 | -1) =>
    nextItem(model, from === undefined ? undefined : id(from), by, ({ span }) => found.has(span.spanId))?.span.spanId;
  expect([next(undefined, 1), next(1, 1), next(2, 1), next(4, 1)]).toEqual([id(1), id(2), id(4), id(1)]);
  expect([next(undefined, -1), next(1, -1), next(3, -1)]).toEqual([id(4), id(4), id(2)]);
  expect(nextItem(model, id(4), 1, errorSources(model))?.span.spanId).toBe(id(3));
  expect(nextItem(model, id(1), 1, () => false)).toBeUndefined();
});

test("what fails in programs of the agent counts apart, and is gone through only if nothing of the operation failed", () => {
  const id = (at: number) => at.toString(16).padStart(16, "0");
  const trace = (toolFails: boolean) => {
    const turn = spanOf("valet.turn", { spanId: id(1) });
    const tool = spanOf("execute_tool bash", {
      spanId: id(2),
      parentSpanId: id(1),
      isError: toolFails,
      startUs: START + 1,
    });
    const failed = { isAdopted: true, isError: true, outcome: undefined } as const;
    const program = spanOf("pytest", { ...failed, spanId: id(3), parentSpanId: id(2), startUs: START + 2 });
    const test = spanOf("test_login", { ...failed, spanId: id(4), parentSpanId: id(3), startUs: START + 3 });
    return buildModel(TRACE, [turn, tool, program, test]);
  };
  const next = (model: ReturnType<typeof trace>) => nextItem(model, undefined, 1, errorSources(model))?.span.name;
  expect(trace(true)).toMatchObject({ errorCount: 1, programErrorCount: 2 });
  expect(next(trace(true))).toBe("execute_tool bash");
  expect(trace(false)).toMatchObject({ errorCount: 0, programErrorCount: 2 });
  expect(next(trace(false))).toBe("test_login");
});
