// The migration that lets rollups count lower bounds, in a database that has turns.
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { TURN } from "../../test/turn-record.ts";
import { fillRollups } from "./rollup-fill.ts";
import { migrate } from "./setup.ts";
import { readRollups, readToolRollups } from "./turn-rollups.ts";
import { upsertTurn } from "./turns.ts";

const { DB, MIGRATIONS } = bindings;
const PERIOD = { from: "2026-01-01T00:00:00.000Z", to: "2026-01-03T00:00:00.000Z" };

let turns = 0;
const turn = (more: Partial<TurnRecord> = {}): TurnRecord => ({ ...TURN, attempt_id: `att_${++turns}`, ...more });
const partials = async () => (await readRollups(DB, "before", {}, PERIOD))?.map(({ partial }) => partial);

test("turns from before are lower bounds where they lack something, also those that are still being added", async () => {
  await migrate(
    DB,
    MIGRATIONS.filter(({ name }) => !name.includes("partial_rollups")),
  );
  const tools = ["bash"];
  const partial = { calls_without_cost: 1, calls_without_usage: 2, tools };
  await DB.batch([
    upsertTurn(DB, "before", turn({ tools })),
    upsertTurn(DB, "before", turn(partial)),
    upsertTurn(DB, "before", turn({ ...partial, attempt_id: "zz_waits" })),
    upsertTurn(DB, "before", turn({ ...partial, attempt_id: "zz_came", cost_usd: null })),
    DB.prepare("INSERT INTO rollup_fill VALUES (1, 'att_zzz')"),
    DB.prepare("INSERT INTO rolled_up_meanwhile VALUES ('zz_came')"),
  ]);
  await migrate(DB, MIGRATIONS);
  // `zz_waits` is counted when the upkeep adds it.
  expect(await partials()).toEqual([{ cost_usd: 1, tokens_input: 2, tokens_output: 2 }]);
  while (await fillRollups(DB));
  await upsertTurn(DB, "before", turn({ ...partial, attempt_id: "zz_after" })).run();
  expect(await partials()).toEqual([{ cost_usd: 3, tokens_input: 4, tokens_output: 4 }]);
  const ofBash = (await readToolRollups(DB, "before", {}, PERIOD)) ?? [];
  expect(ofBash.map(({ keys, partial: of }) => [keys.tool, of?.tokens_input])).toEqual([["bash", 3]]);
});
