// Hourly rollups in D1: each turn counts once, in the buckets that the histograms of the answers have.
import { bucketOf, countOf, histogramOf } from "@valet/shared/answers/turn-stats/histogram";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { MEASURES, type Measure } from "@valet/shared/protocol/turn-stats";
import { expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { TURN } from "../../test/turn-record.ts";
import { fillRollups, isFilling } from "./rollup-fill.ts";
import { migrate } from "./setup.ts";
import { readRollups, readToolRollups } from "./turn-rollups.ts";
import { upsertTurn } from "./turns.ts";

const { DB, MIGRATIONS } = bindings;
const PERIOD = { from: "2026-01-01T00:00:00.000Z", to: "2026-01-03T00:00:00.000Z" };

let turns = 0;
const turn = (more: Partial<TurnRecord> = {}): TurnRecord => ({ ...TURN, attempt_id: `att_${++turns}`, ...more });

async function rollups(ownerId: string) {
  return (await readRollups(DB, ownerId, {}, PERIOD)) ?? [];
}

/** Returns the measured values of a turn that has them all. */
function measured(value: number): Partial<TurnRecord> {
  return Object.fromEntries(MEASURES.map((name) => [name, value]));
}

/** Adds all turns from before. @returns the number of steps */
async function fill(): Promise<number> {
  let steps = 1;
  while (await fillRollups(DB)) steps++;
  return steps;
}

test("turns from before the rollups are added in bounded steps, each once, while others arrive", async () => {
  await migrate(
    DB,
    MIGRATIONS.filter(({ name }) => !/_rollups|upkeep|by_cause/.test(name)),
  );
  // It knew no tools.
  const { tools: _, ...before } = turn({ turn_ms: 500 });
  await upsertTurn(DB, "old", before as TurnRecord).run();
  const columns = Object.keys(before).join(", ");
  await DB.prepare(
    `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2600)
     INSERT INTO turns (owner_id, ${columns}) SELECT owner_id, ${columns.replace("attempt_id", "'old_' || n").replace("turn_ms", "n")} FROM turns, n`,
  ).run();
  await migrate(DB, MIGRATIONS);
  expect(await isFilling(DB)).toBe(true);
  // The trigger adds the new ones: whether their place is before or behind that of the next step, they count once.
  await upsertTurn(DB, "old", turn({ attempt_id: "old_1500_new", turn_ms: 0 })).run();
  // Two at the same time do the work of one.
  await Promise.all([fillRollups(DB), fillRollups(DB)]);
  for (const attempt_id of ["att_0", "zzz"]) await upsertTurn(DB, "old", turn({ attempt_id, turn_ms: 0 })).run();
  const steps = await fill();
  expect(steps).toBeGreaterThanOrEqual(5);
  expect(steps).toBeLessThanOrEqual(7);
  expect(await isFilling(DB)).toBe(false);
  expect((await DB.prepare("SELECT 1 FROM rolled_up_meanwhile").all()).results).toEqual([]);

  const found = await rollups("old");
  expect(found.map(({ turns }) => turns)).toEqual([2604]);
  const durations = [0, 0, 0, 500, ...Array.from({ length: 2600 }, (_, n) => n + 1)];
  expect(found[0]?.measures.turn_ms).toEqual(histogramOf(durations));
  // Nothing is left to do, and later turns are marked no more.
  expect(await fillRollups(DB)).toBe(false);
  await upsertTurn(DB, "old", turn({ attempt_id: "zzzz" })).run();
  expect((await DB.prepare("SELECT 1 FROM rolled_up_meanwhile").all()).results).toEqual([]);
});

test("a database that an earlier version of the migration has filled has nothing to add", async () => {
  const upkeep = MIGRATIONS.filter(({ name }) => name.includes("upkeep"));
  expect(upkeep).toHaveLength(1);
  await migrate(DB, MIGRATIONS);
  await DB.batch(
    [
      "DROP TRIGGER turns_rolled_up_meanwhile",
      "DROP TABLE rollup_fill",
      "DROP TABLE rolled_up_meanwhile",
      "DROP INDEX sessions_by_end",
      "DROP TABLE retention_sweep",
      "DELETE FROM d1_migrations WHERE name LIKE '%upkeep%'",
    ].map((statement) => DB.prepare(statement)),
  );
  await upsertTurn(DB, "filled", turn()).run();
  await migrate(DB, MIGRATIONS);
  await upsertTurn(DB, "filled", turn()).run();
  expect(await isFilling(DB)).toBe(false);
  expect(await fillRollups(DB)).toBe(false);
  expect((await rollups("filled")).map(({ turns }) => turns)).toEqual([2]);
});

test("a turn that is projected several times counts once, and writes one rollup", async () => {
  await migrate(DB, MIGRATIONS);
  const record = turn({ ...measured(12.5), user_id: "bob", repository: "https://git.test/app" });
  const first = await upsertTurn(DB, "own", record).run();
  // The turn, its four indexes (owner, session, user, repository), the costs of its session, and its rollup.
  expect(first.meta.rows_written).toBeLessThanOrEqual(7);
  for (let times = 0; times < 3; times++)
    await DB.batch([upsertTurn(DB, "own", record), upsertTurn(DB, "own", record)]);
  const [rollup, ...others] = await rollups("own");
  expect(others).toEqual([]);
  expect(rollup).toMatchObject({ turns: 1, keys: { user: "bob", repository: "https://git.test/app", branch: null } });
  for (const name of MEASURES) expect(rollup?.measures[name]).toEqual(histogramOf([12.5]));
  const again = await upsertTurn(DB, "own", turn({ ...record, attempt_id: "att_again" })).run();
  expect(again.meta.rows_written).toBeLessThanOrEqual(7);
});

test("the database counts into the buckets of the histogram; unknown values are in none", async () => {
  await migrate(DB, MIGRATIONS);
  const values = [0, 1e-9, 0.00005, 0.37, 1, 1.5, 2, 63.2, 999.99, 1000, 86_400_000, 123_456_789];
  await DB.batch([
    ...values.map((value) => upsertTurn(DB, "buckets", turn(measured(value)))),
    upsertTurn(DB, "buckets", turn({ cost_usd: null, tokens_input: null, tokens_output: null })),
  ]);
  const [rollup] = await rollups("buckets");
  expect(rollup?.turns).toBe(values.length + 1);
  const of = (name: Measure) => rollup?.measures[name] as ReturnType<typeof histogramOf>;
  expect(countOf(of("cost_usd"))).toBe(values.length);
  expect(of("cost_usd").sum).toBeCloseTo(
    values.reduce((sum, each) => sum + each, 0),
    3,
  );
  expect([...of("cost_usd").counts.keys()].sort()).toEqual([...new Set(values.map(bucketOf))].sort());
});

test("hours, keys and owners have rollups of their own, and more than a page is read", async () => {
  await migrate(DB, MIGRATIONS);
  const at = (hour: number, more: Partial<TurnRecord>) =>
    turn({ ended_at: `2026-01-02T${String(hour).padStart(2, "0")}:59:59.999Z`, ...more });
  await DB.batch([
    upsertTurn(DB, "keys", at(3, {})),
    upsertTurn(DB, "keys", at(4, {})),
    upsertTurn(DB, "keys", at(4, { outcome: "error", error_type: "stuck_turn" })),
    upsertTurn(DB, "other", at(4, {})),
  ]);
  const found = await rollups("keys");
  expect(found.map(({ outcome, keys, turns }) => [outcome, keys.error, keys.day, turns])).toEqual([
    ["ok", null, "2026-01-02", 1],
    ["error", "stuck_turn", "2026-01-02", 1],
    ["ok", null, "2026-01-02", 1],
  ]);
  const only = async (from: string, to: string) => (await readRollups(DB, "keys", {}, { from, to }))?.length;
  expect(await only("2026-01-02T04:00:00.000Z", "2026-01-02T05:00:00.000Z")).toBe(2);
  expect(await only("2026-01-02T00:00:00.000Z", "2026-01-02T03:00:00.000Z")).toBe(0);
  expect((await readRollups(DB, "keys", { outcome: "ok" }, PERIOD))?.length).toBe(2);

  await DB.prepare(
    `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5500)
     INSERT INTO turn_rollups SELECT 'many', '2026-01-02T01', 'u' || n, '', '', 'main', '', 'ok', '', 1, '{}', '{}', '{}', '{}', '{}', '{}', 0, 0, 0 FROM n`,
  ).run();
  const many = await rollups("many");
  expect(new Set(many.map(({ keys }) => keys.user)).size).toBe(5500);
});

test("a turn counts once in each of its tools, and writes a row for each", async () => {
  await migrate(DB, MIGRATIONS);
  const record = turn({ ...measured(12.5), user_id: "bob", tools: ["bash", "edit", '"quoted"'] });
  const { meta } = await upsertTurn(DB, "tools", record).run();
  expect(meta.rows_written).toBeLessThanOrEqual(6 + 3);
  for (let times = 0; times < 3; times++) await upsertTurn(DB, "tools", record).run();
  await DB.batch([
    upsertTurn(DB, "tools", turn({ tools: ["bash"], outcome: "error", error_type: "stuck_turn" })),
    upsertTurn(DB, "tools", turn({ tools: [] })),
    upsertTurn(DB, "tools", turn({ tools: null })),
  ]);
  const found = (await readToolRollups(DB, "tools", {}, PERIOD)) ?? [];
  const shown = found.map(({ keys, outcome, turns: count }) => [keys.tool, keys.user, outcome, count]);
  expect(shown.sort()).toEqual([
    ['"quoted"', "bob", "ok", 1],
    ["bash", "ann", "error", 1],
    ["bash", "bob", "ok", 1],
    ["edit", "bob", "ok", 1],
  ]);
  const bob = found.find(({ keys }) => keys.tool === "edit");
  for (const name of MEASURES) expect(bob?.measures[name]).toEqual(histogramOf([12.5]));
  expect((await readToolRollups(DB, "tools", { tool: "bash", user: "bob" }, PERIOD))?.length).toBe(1);
  // The others count all of the turns.
  expect((await rollups("tools")).reduce((sum, each) => sum + each.turns, 0)).toBe(4);
});

test("more than a page of rollups by tool is read", async () => {
  await migrate(DB, MIGRATIONS);
  await DB.prepare(
    `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5500)
     INSERT INTO tool_rollups SELECT 'tools2', '2026-01-02T01', 't' || n, '', '', '', 'main', '', 'ok', '', 1, '{}', '{}', '{}', '{}', '{}', '{}', 0, 0, 0 FROM n`,
  ).run();
  const many = (await readToolRollups(DB, "tools2", {}, PERIOD)) ?? [];
  expect(new Set(many.map(({ keys }) => keys.tool)).size).toBe(5500);
});
