import type { TurnRecord } from "@valet/shared/protocol/session-view";
import fc from "fast-check";
import { expect, test } from "vitest";
import { queryOf } from "./commands/turns.ts";
import { sortedNotes, turnLines } from "./turns-table.ts";

const TURN = {
  attempt_id: "att_1",
  session_id: "ses_00000000000000000000000001",
  message_ids: ["msg_1"],
  channel: "main",
  model: "valet/test",
  outcome: "ok",
  error_type: null,
  ended_at: "2026-11-27T00:12:33.000Z",
  queue_wait_ms: 350,
  turn_ms: 4200,
  cost_usd: 0.1234,
  calls_without_cost: 0,
  user_id: "ann",
  repository: "https://git.test/team/app",
  branch: "main",
  parent_session_id: null,
} as unknown as TurnRecord;

test("a turn is a line; what has no room is left out", () => {
  expect(turnLines([TURN], 82, false)).toEqual([
    "ended (UTC)  outcome   took  waited     cost  session                         user",
    "11-27 00:12  ok       4.2 s  350 ms  $0.1234  ses_00000000000000000000000001  ann",
  ]);
  const [wide = ""] = turnLines([TURN], 200, false);
  expect(wide).toMatch(/session +user +repository +model +channel +message$/);
  expect(turnLines([TURN], 200, false)[1]).toContain("app@main");
});

test("what the sandbox used meanwhile is shown where it is known", () => {
  const used = { ...TURN, cpu_ms: 2500, memory_peak_bytes: 3 * 1024 ** 3, disk_written_bytes: null } as TurnRecord;
  const [heads = "", line = ""] = turnLines([used], 200, true);
  expect(heads).toMatch(/model +CPU +memory +channel/);
  expect(line).toMatch(/ 2\.5 s +3 GiB /);
});

test("the turns of one session do not repeat it", () => {
  expect(turnLines([TURN], 80, true)[0]).toMatch(/cost +user +model +channel +message$/);
});

test("an error is named, and an unknown cost is not 0", () => {
  const [error_type, error_cause] = ["model_chain_exhausted", "provider_failed"];
  const caused = { ...TURN, outcome: "error", error_type, error_cause } as TurnRecord;
  expect(turnLines([caused], 80, false)[1]).toMatch(/^11-27 00:12 {2}error: provider_failed {2}/);
  const failed = { ...TURN, outcome: "error", error_type: "stuck_turn", cost_usd: null } as TurnRecord;
  expect(turnLines([failed], 80, false)[1]).toMatch(/^11-27 00:12 {2}error: stuck_turn {2}4\.2 s {2}350 ms {2}unknown/);
  const partly = { ...TURN, calls_without_cost: 1 } as TurnRecord;
  expect(turnLines([partly], 80, false)[1]).toContain("≥$0.1234");
});

test("a sorted list says which period it sorted, and whether it sorted all of that", () => {
  const sorted = { from: "2026-10-27T12:00:00.000Z", to: "2026-11-27T12:00:00.000Z" };
  const period = "Sorted: the turns that ended from 10-27 12:00 to 11-27 12:00 (UTC).";
  expect(sortedNotes({ sorted: undefined, isPartial: false }, "ask")).toEqual([]);
  expect(sortedNotes({ sorted, isPartial: false }, "ask")).toEqual([period]);
  expect(sortedNotes({ sorted, isPartial: true }, "ask for less")).toEqual([
    period,
    "Only the 10,000 newest turns of this period were sorted: ask for less.",
  ]);
});

test("no line is wider than the terminal", () => {
  const text = fc.string({ maxLength: 120 });
  fc.assert(
    fc.property(text, text, fc.integer({ min: 20, max: 200 }), (user_id, channel, width) => {
      for (const line of turnLines([{ ...TURN, user_id, channel }], width, false))
        expect(line.length).toBeLessThanOrEqual(width);
    }),
  );
});

test("options become the API's query; ages count back from now", () => {
  const now = Date.parse("2026-11-27T12:00:00Z");
  expect(queryOf("ses_1", { user: "ann", parent: "ses_2", from: "24h", to: "2026-11-27T08:00:00+02:00" }, now)).toEqual(
    {
      user: "ann",
      sessionId: "ses_1",
      parentSessionId: "ses_2",
      from: "2026-11-26T12:00:00.000Z",
      to: "2026-11-27T06:00:00.000Z",
    },
  );
  expect(queryOf(undefined, { from: "30m" }, now)).toEqual({ from: "2026-11-27T11:30:00.000Z" });
  expect(() => queryOf(undefined, { from: "soon" }, now)).toThrow("--from: soon is no time");
});
