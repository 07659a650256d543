import { groupTurns, type TurnFacts } from "@valet/shared/answers/turn-stats/turn-stats";
import { STATS_KEYS, type StatsKey, TurnStats } from "@valet/shared/protocol/turn-stats";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sparkline, statsLines } from "./turns-plots.ts";

const NO_KEYS = Object.fromEntries(STATS_KEYS.map((key) => [key, null])) as TurnFacts["keys"];

function turn(ms: number, more: Partial<TurnFacts> & { readonly usd?: number | null } = {}): TurnFacts {
  const { usd = 0.25, ...others } = more;
  return {
    keys: NO_KEYS,
    outcome: "ok",
    turns: 1,
    measures: {
      turn_ms: ms,
      queue_wait_ms: 0,
      time_to_first_token_ms: null,
      cost_usd: usd,
      tokens_input: 12_345,
      tokens_output: 10,
    },
    ...others,
  };
}

function statsOf(turns: readonly TurnFacts[], by: StatsKey[] = [], source: TurnStats["source"] = "turns"): TurnStats {
  const { total, groups, leftOut } = groupTurns(turns, by);
  return TurnStats.parse({
    from: "2026-11-26T00:00:00.000Z",
    to: "2026-11-27T01:00:00.000Z",
    source,
    error_bound: source === "turns" ? 0 : 0.024995,
    by,
    total,
    groups,
    ...(leftOut > 0 && { groups_left_out: leftOut }),
  });
}

const user = (name: string | null) => ({ keys: { ...NO_KEYS, user: name } });

describe("the summary", () => {
  test("says how many turns of which outcome, their cost, and what its percentiles are", () => {
    const stats = statsOf([turn(1000), turn(2000, { outcome: "error" })], [], "rollups");
    expect(statsLines(stats, 80).slice(0, 3)).toEqual([
      "2 turns from 2026-11-26 00:00 to 2026-11-27 01:00 UTC",
      "1 ok, 1 error; $0.5000 in total",
      "percentiles: from hourly histograms, within 2.5 %",
    ]);
    expect(statsLines(statsOf([turn(1)]), 80)[2]).toBe("percentiles: exact");
  });

  test("says what is unknown instead of showing 0", () => {
    const lines = statsLines(statsOf([turn(1000), turn(1000, { usd: null })]), 80);
    expect(lines[1]).toBe("2 ok; at least $0.2500 in total");
    expect(lines.find((line) => line.startsWith("first token"))).toMatch(/0 +unknown +unknown +unknown$/);
    const partial = statsOf([turn(1000), turn(1000, { partial: { cost_usd: 1 } })], ["user"]);
    expect(statsLines(partial, 80)[1]).toBe("2 ok; at least $0.5000 in total");
    expect(statsLines(partial, 80).some((line) => line.endsWith("≥$0.5000"))).toBe(true);
    expect(statsLines(partial, 80).find((line) => line.startsWith("cost "))).toMatch(/^cost +2 \(1 partial\) +\$0\.25/);
    expect(statsLines(statsOf([turn(1, { usd: null })]), 80)[1]).toBe("1 ok; cost unknown in total");
  });

  test("without turns is one line", () => {
    expect(statsLines(statsOf([]), 80)).toEqual(["No turns from 2026-11-26 00:00 to 2026-11-27 01:00 UTC."]);
  });

  test("has a line of percentiles for each measure, and bars", () => {
    const lines = statsLines(statsOf([turn(1000), turn(1000), turn(9000)]), 80);
    expect(lines.find((line) => line.startsWith("duration"))).toMatch(/3 +1\.0 s +9\.0 s +9\.0 s {2}█ +▄$/);
    expect(lines.find((line) => line.startsWith("tokens in"))).toMatch(/3 +12,345 +12,345 +12,345/);
    const bars = lines.filter((line) => line.includes("≤") && line.endsWith("2"));
    expect(bars[0]).toMatch(/^ {2,}≤ 1\.2 s █{60,} 2$/);
  });
});

describe("groups", () => {
  test("are a line each, the largest first, with the failed ones and the cost", () => {
    const turns = [turn(1, user("bob")), turn(2, user("ann")), turn(3, { ...user("ann"), outcome: "lost" }), turn(4)];
    const lines = statsLines(statsOf(turns, ["user"]), 80);
    const start = lines.findIndex((line) => line.startsWith("user"));
    expect(lines[start]).toMatch(/^user +turns +failed +p50 +p90 +p99 +cost$/);
    expect(lines[start + 1]).toMatch(/^ann +2 {2}█{30} +1 +2 ms +3 ms +3 ms +\$0\.5000$/);
    expect(lines[start + 2]).toMatch(/^bob +1 {2}█{15} +0 /);
    expect(lines[start + 3]).toMatch(/^\(none\) +1 /);
  });

  const SESSION = "ses_6t9f6t3n3dws9n1b5jqfqypw67";
  const hours = [3_600_000, 7_322_000].map((ms) => turn(ms, { keys: { ...NO_KEYS, session: SESSION }, usd: 1234.5 }));
  const headAndRow = (width: number, keys: StatsKey[] = ["session"]) => {
    const lines = statsLines(statsOf(hours, keys), width);
    return lines.slice(lines.findIndex((line) => line.startsWith(keys[0] ?? ""))).slice(0, 2);
  };

  test("keep their figures at 80 columns: the bar gives way first, then the keys", () => {
    const [full = "", narrow = ""] = [100, 80].map((width) => headAndRow(width)[1]);
    expect(full).toMatch(new RegExp(`^${SESSION} +2 {2}█+ +0 .*\\$2469\\.0000$`));
    expect(narrow).toMatch(/^ses_6t9f6t\w+…? +2 +0 .*\$2469\.0000$/);
    for (const width of [80, 72, 68]) {
      expect(headAndRow(width)[0]).toMatch(/ cost$/);
      expect(headAndRow(width)[1]).toMatch(/\$2469\.0000$/);
    }
    expect(headAndRow(68, ["session", "model"])[1]).toMatch(/^ses\w*… \/ .*\$2469\.0000$/);
  });

  test("are not cut in a pipe, however long their keys are", () => {
    const name = "u".repeat(90);
    const lines = statsLines(statsOf([turn(1000, user(name))], ["user"]), Number.POSITIVE_INFINITY);
    expect(lines.join("\n")).not.toContain("…");
    expect(lines.find((line) => line.startsWith(name))).toMatch(/█{30} .* \$0\.2500$/);
  });

  test("by two keys and day name all of them", () => {
    const facts = turn(1, { keys: { ...NO_KEYS, day: "2026-11-26", user: "ann", model: "valet/test" } });
    const lines = statsLines(statsOf([facts], ["day", "user", "model"]), 100);
    expect(lines.some((line) => line.startsWith("day / user / model"))).toBe(true);
    expect(lines.some((line) => line.startsWith("2026-11-26 / ann / valet/test"))).toBe(true);
  });
});

test("no line is wider than the terminal, whatever the figures and keys are", () => {
  const figure = fc.oneof(fc.constant(0), fc.double({ min: 1e-9, max: 1e12, noNaN: true }));
  const facts = fc
    .record({ ms: figure, usd: fc.option(figure), name: fc.option(fc.string({ minLength: 1, maxLength: 90 })) })
    .map(({ ms, usd, name }) => turn(ms, { usd, ...user(name) }));
  const by = fc.constantFrom<StatsKey[]>([], ["user"], ["user", "model"], ["day", "user"]);
  fc.assert(
    fc.property(fc.array(facts, { maxLength: 30 }), by, fc.integer({ min: 40, max: 200 }), (turns, keys, width) => {
      for (const line of statsLines(statsOf(turns, keys), width)) expect(line.length).toBeLessThanOrEqual(width);
    }),
  );
});

test("a sparkline has a character for each bar, and none that is empty looks used", () => {
  const bars = [1, 0, 8, 4].map((turns, index) => ({ from: index, to: index + 1, turns }));
  expect(sparkline({ known: 13, sum: 1, p50: 1, p90: 1, p99: 1, bars })).toBe("▁ █▄");
});
