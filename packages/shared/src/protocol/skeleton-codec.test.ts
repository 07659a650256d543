import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OUTCOMES } from "../spans/outcomes.ts";
import { decodeSkeleton, encodeSkeleton, type SkeletonSpan, spansOfSkeleton } from "./skeleton-codec.ts";
import { SkeletonChunk } from "./trace-skeleton.ts";
import { decodeVlq, encodeVlq } from "./vlq.ts";

const id = fc.stringMatching(/^[0-9a-f]{16}$/);
const traceId = fc.stringMatching(/^[0-9a-f]{32}$/);
const micros = fc.integer({ min: 0, max: 2 ** 51 });
const orUndefined = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const span: fc.Arbitrary<SkeletonSpan> = fc
  .record({
    spanId: id,
    parentSpanId: orUndefined(id),
    name: fc.string({ unit: "binary", maxLength: 12 }),
    kind: fc.integer({ min: 0, max: 5 }),
    startUs: micros,
    endUs: orUndefined(fc.integer({ min: 0, max: 2 ** 50 })),
    outcome: orUndefined(fc.constantFrom(...OUTCOMES)),
    isError: fc.boolean(),
    isSealed: fc.boolean(),
    lastSeenMs: orUndefined(micros),
    usage: orUndefined(
      fc.record({
        input: orUndefined(fc.nat()),
        cached: orUndefined(fc.nat()),
        costUsd: orUndefined(fc.double({ min: 0, max: 1e6, noNaN: true }).map((usd) => usd + 0)),
      }),
    ),
    isCostPartial: fc.constantFrom(true, undefined),
    links: fc.array(fc.record({ traceId, spanId: id, type: orUndefined(fc.string({ maxLength: 8 })) }), {
      maxLength: 2,
    }),
  })
  .map(({ endUs, ...each }) => ({ ...each, endUs: endUs === undefined ? undefined : each.startUs + endUs }));
const spans = fc.uniqueArray(span, { selector: ({ spanId }) => spanId, maxLength: 20 }).chain((each) =>
  // Some parents are in the same chunk.
  fc.array(fc.nat(), { minLength: each.length, maxLength: each.length }).map((picks) =>
    each.map((one, index) => {
      const pick = (picks[index] as number) % (2 * each.length);
      return pick < each.length ? { ...one, parentSpanId: each[pick]?.spanId } : one;
    }),
  ),
);

test("numbers survive, and few digits are needed for small ones", () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeInteger()), (values) => {
      expect(decodeVlq(encodeVlq(values))).toEqual(values);
    }),
  );
  for (const edge of [2 ** 52, 2 ** 53 - 1]) expect(decodeVlq(encodeVlq([edge, -edge]))).toEqual([edge, -edge]);
  // Examples of source maps.
  expect(encodeVlq([0, 1, -1, 15, 16, 123])).toBe("ACDegB2H");
  expect(() => decodeVlq("g")).toThrow("ends within a number");
  expect(() => decodeVlq("A,")).toThrow("no digit");
});

describe("a chunk", () => {
  test("has all that went into it, also as JSON and through its schema", () => {
    fc.assert(
      fc.property(spans, (each) => {
        const chunk = SkeletonChunk.parse(JSON.parse(JSON.stringify(encodeSkeleton(each))));
        expect(decodeSkeleton(chunk)).toEqual(each);
      }),
    );
  });

  test("of an earlier version, without usage, partial costs and signs of life, is read", () => {
    fc.assert(
      fc.property(spans, (each) => {
        const { usage: _usage, partial: _partial, seen: _seen, ...before } = encodeSkeleton(each);
        const expected = each.map(({ usage: _of, isCostPartial: _is, lastSeenMs: _at, ...rest }) => rest);
        expect(decodeSkeleton(SkeletonChunk.parse(before))).toEqual(expected);
      }),
    );
  });

  test("may have more bytes of ids than a call may have arguments", () => {
    const many = Array.from({ length: 30_000 }, (_, index) => ({
      spanId: (index + 1).toString(16).padStart(16, "0"),
      name: "span",
      kind: 1,
      startUs: index,
      isError: false,
      isSealed: false,
      links: [],
    }));
    expect(decodeSkeleton(encodeSkeleton(many)).map(({ spanId }) => spanId)).toEqual(many.map(({ spanId }) => spanId));
  });

  test("whose columns differ in length is refused", () => {
    const chunk = encodeSkeleton(
      fc.sample(
        spans.filter(({ length }) => length > 1),
        1,
      )[0] as SkeletonSpan[],
    );
    expect(() => decodeSkeleton({ ...chunk, kinds: "" })).toThrow("differ in length");
  });

  test("takes at most 30 bytes a span in a long turn", () => {
    const long = Array.from({ length: 200 }, (_, index): SkeletonSpan => {
      const startUs = 1.8e15 + index * 900_000;
      return {
        spanId: (index * 7919 + 1).toString(16).padStart(16, "a"),
        parentSpanId: "00f067aa0ba902b7",
        name: index % 2 === 0 ? "chat claude-sonnet-4-5" : "execute_tool bash",
        kind: index % 2 === 0 ? 3 : 1,
        startUs,
        endUs: startUs + 650_000 + index,
        outcome: "ok",
        isError: false,
        isSealed: false,
        links: [],
      };
    });
    expect(JSON.stringify(encodeSkeleton(long)).length / long.length).toBeLessThan(30);
  });
});

test("of a span in several chunks the last one counts: it was open and has ended", () => {
  const [one] = fc.sample(span, 1) as [SkeletonSpan];
  const open = { ...one, endUs: undefined, outcome: undefined };
  const ended = { ...one, endUs: one.startUs + 5, outcome: "ok" } as const;
  expect(spansOfSkeleton([encodeSkeleton([open]), encodeSkeleton([ended])])).toEqual([
    { ...ended, parentSpanId: one.parentSpanId },
  ]);
});
