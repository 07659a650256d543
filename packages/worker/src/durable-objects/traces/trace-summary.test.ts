import fc from "fast-check";
import { expect, test } from "vitest";
import type { SpanLevel } from "./otlp-request.ts";
import { mergeSummaries, summariseOpen, type TraceSummary } from "./trace-summary.ts";

interface Part {
  readonly level: SpanLevel;
  readonly startUs: number;
  readonly isForeign: boolean;
}

const nameOf = ({ level, startUs, isForeign }: Part) => `${isForeign ? "runner" : "worker"} ${level} ${startUs}`;

function summaryOf(part: Part): TraceSummary[] {
  const { level, startUs, isForeign } = part;
  return [summariseOpen({ traceId: "t", name: nameOf(part), startUs, level }, isForeign)];
}

const parts = fc.uniqueArray(
  fc.record({
    level: fc.constantFrom<SpanLevel[]>(0, 1, 2),
    startUs: fc.integer({ min: 1, max: 99 }),
    isForeign: fc.boolean(),
  }),
  { selector: ({ startUs }) => startUs, minLength: 1, maxLength: 6 },
);

test("a trace is named by its topmost span, the Worker's before others, in whatever order and groups its parts are merged", () => {
  fc.assert(
    fc.property(parts, fc.nat({ max: 6 }), (all, cut) => {
      const [first] = all.toSorted(
        (a, b) => a.level - b.level || Number(a.isForeign) - Number(b.isForeign) || a.startUs - b.startUs,
      );
      const [before, after] = [all.slice(0, cut), all.slice(cut)].map((group) => mergeSummaries(group.map(summaryOf)));
      const [merged] = mergeSummaries([before ?? [], after ?? []]);
      expect(merged?.name).toBe(first && nameOf(first));
    }),
  );
});
