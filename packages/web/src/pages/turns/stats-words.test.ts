import { describe, expect, test } from "vitest";
import type { Schemas } from "../../api/client.ts";
import { gapsText, sortedText, sourceText, totalText } from "./stats-words.ts";

const NONE = { known: 0, sum: null, p50: null, p90: null, p99: null, bars: [] };
const MEASURES = {
  queue_wait_ms: NONE,
  time_to_first_token_ms: NONE,
  turn_ms: NONE,
  cost_usd: NONE,
  tokens_input: NONE,
  tokens_output: NONE,
};
const TOTAL: Schemas["TurnGroup"] = { keys: {}, turns: 2, outcomes: { ok: 2 }, measures: MEASURES };
const STATS: Schemas["TurnStats"] = {
  from: "2026-11-19T04:00:00.000Z",
  to: "2026-11-26T05:00:00.000Z",
  source: "rollups",
  error_bound: 0.02499,
  by: [],
  total: TOTAL,
  groups: [],
};
/** Figures have no line breaks within them; here they do not matter. */
const plain = (text: string | undefined) => text?.replaceAll("\u00a0", " ");

describe("the source of percentiles", () => {
  test("says the period, and how far they are from exact ones", () => {
    expect(plain(sourceText(STATS))).toBe(
      "From 19 Nov, 04:00 to 26 Nov, 05:00 (UTC). Percentiles come from hourly sums, within 2.5 % of the exact ones; counts and costs are exact.",
    );
  });

  test("says when they are exact, and when turns are missing", () => {
    expect(sourceText({ ...STATS, source: "turns", error_bound: 0 })).toContain("Percentiles are exact");
    expect(sourceText({ ...STATS, incomplete: true })).toContain("Turns from before an upgrade are still being added.");
  });
});

test("a measure says how many turns have no value, and how many a lower bound", () => {
  expect([gapsText(0, 0), gapsText(2, 0), gapsText(0, 1), gapsText(1200, 3)]).toEqual([
    "",
    "2 not known",
    "1 lower bound",
    "1,200 not known, 3 lower bounds",
  ]);
});

test("a sorted list says its period, and what it leaves out", () => {
  const sorted = { from: STATS.from, to: STATS.to };
  expect(sortedText({})).toBeUndefined();
  expect(plain(sortedText({ sorted }))).toContain("from 19 Nov, 04:00 to 26 Nov, 05:00 (UTC)");
  expect(sortedText({ sorted, partial: true })).toContain("Only the 10,000 newest");
});

test("a cost that no turn has is not known, and a partial one is a lower bound", () => {
  const cost = (known: number, sum: number | null) => ({ ...MEASURES, cost_usd: { ...NONE, known, sum } });
  expect(totalText(TOTAL)).toBe("2 turns · cost not known");
  expect(plain(totalText({ ...TOTAL, measures: cost(1, 0.5) }))).toBe("2 turns · ≥ $0.50");
  const partial = { ...MEASURES, cost_usd: { ...NONE, known: 2, partial: 1, sum: 0.5 } };
  expect(plain(totalText({ ...TOTAL, measures: partial }))).toBe("2 turns · ≥ $0.50");
  expect(totalText({ ...TOTAL, outcomes: { ok: 1, error: 1 }, measures: cost(2, 0.5) })).toBe(
    "2 turns · $0.50 · 1 failed or lost",
  );
  expect(totalText({ ...TOTAL, turns: 0, outcomes: {} })).toBe("0 turns");
});
