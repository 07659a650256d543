import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import fc from "fast-check";
import { expect, test } from "vitest";
import { buildModel } from "./model.ts";
import { type Linked, type Tie, tiesBySpan, tiesOf, visibleRows } from "./rows.ts";
import { placeOf, viewOf } from "./scale.ts";

const TRACE = "a".repeat(32);
const OTHER = "b".repeat(32);
const id = fc.integer({ min: 0, max: 12 }).map((number) => number.toString(16).padStart(16, "0"));

/** Spans that may repeat, lack their parent, be their own ancestor, end before they start, or be open. */
const span: fc.Arbitrary<SkeletonSpan> = fc.record({
  spanId: id,
  parentSpanId: fc.option(id, { nil: undefined }),
  name: fc.constantFrom("chat gpt", "execute_tool bash", "valet.queue.wait", "<img onerror>", "", "__proto__"),
  kind: fc.integer({ min: 0, max: 5 }),
  startUs: fc.integer({ min: 1_700_000_000_000_000, max: 1_700_000_060_000_000 }),
  endUs: fc.option(fc.integer({ min: 1_699_999_999_000_000, max: 1_700_000_090_000_000 }), { nil: undefined }),
  outcome: fc.constantFrom(undefined, "ok" as const, "error" as const, "lost" as const),
  isError: fc.boolean(),
  isSealed: fc.boolean(),
  links: fc.array(
    fc.record({ traceId: fc.constantFrom(TRACE, OTHER), spanId: id, type: fc.constantFrom(undefined, "waited_on") }),
    { maxLength: 3 },
  ),
});
const spans = fc.array(span, { maxLength: 30 });
const none = new Set<string>();
const noLinks = { opened: new Map<string, Tie[]>(), linked: (): Linked => ({ state: "loading" }) };

test("whatever the parents say, each span has exactly one row, after its parent's", () => {
  fc.assert(
    fc.property(spans, (spans) => {
      const model = buildModel(TRACE, spans);
      const rows = visibleRows(model, { folded: none, ...noLinks });
      expect(rows.map(({ key }) => key).sort()).toEqual([...new Set(spans.map(({ spanId }) => spanId))].sort());
      const seen = new Set<string>();
      for (const row of rows) {
        if (row.type !== "span") throw new Error("no link is open");
        const { parent } = row.item;
        if (parent !== undefined) expect(seen.has(parent.span.spanId)).toBe(true);
        expect(row.level).toBe((parent?.depth ?? -1) + 2);
        seen.add(row.key);
      }
    }),
  );
});

test("no bar and no period of the critical path is negative or outside of the axis", () => {
  fc.assert(
    fc.property(spans, fc.double({ min: 0, max: 1, noNaN: true }), (spans, zoom) => {
      const model = buildModel(TRACE, spans);
      const view = viewOf(model.startUs, model.startUs + (model.endUs - model.startUs) * zoom);
      for (const { span, critical } of model.order) {
        for (const [from, to] of [[span.startUs, span.endUs ?? model.endUs] as const, ...critical]) {
          const place = placeOf(view, from, Math.min(to, Number.MAX_SAFE_INTEGER));
          if (place === undefined) continue;
          expect(place.width).toBeGreaterThanOrEqual(0);
          expect(place.left).toBeGreaterThanOrEqual(0);
          expect(place.left + place.width).toBeLessThanOrEqual(100.001);
        }
        for (const [from, to] of critical) expect(to).toBeGreaterThan(from);
      }
    }),
  );
});

test("at no instant two spans are on the critical path", () => {
  fc.assert(
    fc.property(spans, (spans) => {
      const periods = buildModel(TRACE, spans)
        .order.flatMap(({ critical }) => critical)
        .sort(([a], [b]) => a - b);
      for (const [at, [from]] of periods.entries()) expect(from).toBeGreaterThanOrEqual(periods[at - 1]?.[1] ?? 0);
    }),
  );
});

test("folded rows hide what is below them and nothing else; opened links add boxes that end", () => {
  fc.assert(
    fc.property(spans, spans, fc.array(id), (spans, others, folded) => {
      const model = buildModel(TRACE, spans);
      const other = buildModel(OTHER, others);
      const hides = new Set(folded);
      const opened = new Map(model.order.map((item) => [item.span.spanId, tiesOf(item)]));
      const linked = (traceId: string): Linked => ({ state: "ready", model: traceId === TRACE ? model : other });
      const rows = visibleRows(model, { folded: hides, opened, linked });
      expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
      const own = rows.flatMap((row) => (row.type === "span" && row.boxes.length === 0 ? [row.key] : []));
      const isHidden = (item: (typeof model.order)[number]): boolean =>
        item.parent !== undefined && (hides.has(item.parent.span.spanId) || isHidden(item.parent));
      expect(own).toEqual(model.order.filter((item) => !isHidden(item)).map(({ span }) => span.spanId));
      const begun = rows.filter(({ type }) => type === "link").length;
      expect(rows.reduce((sum, { ends }) => sum + ends, 0)).toBe(begun);
    }),
  );
});

test("every link to a trace is a tie of the span that it leads to, once, and no span is tied to itself", () => {
  const id = fc.constantFrom("a", "b", "c");
  const link = fc.record({ traceId: fc.constantFrom(TRACE, OTHER), spanId: id, targetSpanId: id });
  fc.assert(
    fc.property(fc.array(link, { maxLength: 12 }), (links) => {
      const found = tiesBySpan(TRACE, links);
      const isSelf = (each: (typeof links)[number]) => each.traceId === TRACE && each.spanId === each.targetSpanId;
      const expected = new Set(
        links.filter((each) => !isSelf(each)).map((each) => `${each.traceId} ${each.spanId} ${each.targetSpanId}`),
      );
      const all = [...found].flatMap(([target, ties]) => ties.map((tie) => `${tie.traceId} ${tie.spanId} ${target}`));
      expect(all.sort()).toEqual([...expected].sort());
    }),
  );
});

test("50,000 spans in a chain, and in one level, are laid out", () => {
  const spans = (parentOf: (at: number) => number | undefined) =>
    Array.from({ length: 50_000 }, (_, at): SkeletonSpan => {
      const parent = parentOf(at);
      return {
        spanId: at.toString(16).padStart(16, "0"),
        parentSpanId: parent?.toString(16).padStart(16, "0"),
        name: `chat ${at % 7}`,
        kind: 1,
        startUs: 1_700_000_000_000_000 + at * 100,
        endUs: 1_700_000_000_000_000 + at * 100 + 5_000,
        outcome: "ok",
        isError: false,
        isSealed: false,
        links: [],
      };
    });
  for (const list of [spans((at) => (at === 0 ? undefined : at - 1)), spans((at) => (at === 0 ? undefined : 0))]) {
    const rows = visibleRows(buildModel(TRACE, list), { folded: none, ...noLinks });
    expect(rows).toHaveLength(50_000);
  }
});
