// The costs of a session's turns are added up in D1 as the turns are inserted, whichever version of the Worker inserts them.
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { TURN } from "../../test/turn-record.ts";
import { readFamily } from "./family.ts";
import { migrate } from "./setup.ts";
import { upsertTurn } from "./turns.ts";

const { DB, MIGRATIONS } = bindings;
const UNKNOWN = { cost_usd: null, tokens_input: null, tokens_output: null };
const PARTIAL = { calls_without_cost: 1, calls_without_usage: 2 };

let turns = 0;
const turn = (more: Partial<TurnRecord> = {}): TurnRecord => {
  return { ...TURN, session_id: "ses_1", attempt_id: `att_${++turns}`, ...more };
};

/** The columns of turns that the version of migration 0006 knew. */
const KNOWN =
  /^(?!user_id|repository|branch|parent_session_id|message_trace_id|aborted_by|answered_by|tools|commits|files_changed|lines_|head_|changes_|cpu_ms|memory_peak|disk_written)/;

/** Returns the statement by which that version inserts a turn. */
function olderInsert(record: TurnRecord): D1PreparedStatement {
  const known = Object.entries({ ...record, owner_id: "own", message_ids: "[]", queue_reasons: "[]" });
  const columns = known.filter(([name]) => KNOWN.test(name));
  const names = columns.map(([name]) => name);
  return DB.prepare(
    `INSERT OR IGNORE INTO turns (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`,
  ).bind(...columns.map(([, value]) => value));
}

async function total() {
  return (await readFamily(DB, "ses_1", "own"))?.total;
}

test("turns from before the sums count, and so do those that an older version inserts; each counts once", async () => {
  await migrate(
    DB,
    MIGRATIONS.filter(({ name }) => name < "0006"),
  );
  const created = "2026-01-01T00:00:00.000Z";
  const view = { id: "ses_1", status: "running", createdAt: created };
  await DB.batch([
    DB.prepare(
      `INSERT INTO sessions (id, owner_id, status, created_at, updated_at, version, view)
       VALUES ('ses_1', 'own', 'running', ?1, ?1, 1, ?2)`,
    ).bind(created, JSON.stringify(view)),
    ...[turn(), turn(UNKNOWN), turn(PARTIAL)].map(olderInsert),
  ]);
  await migrate(DB, MIGRATIONS);
  const before = { turns: 3, cost_usd: 0.5, tokens_input: 200, tokens_output: 20 };
  expect(await total()).toEqual({ ...before, turns_without_cost: 2, turns_without_usage: 2 });

  const again = turn({ cost_usd: 1 });
  for (let times = 0; times < 3; times++) await upsertTurn(DB, "own", again).run();
  const older = turn(UNKNOWN);
  for (let times = 0; times < 2; times++) await olderInsert(older).run();
  const after = { turns: 5, cost_usd: 1.5, tokens_input: 300, tokens_output: 30 };
  expect(await total()).toEqual({ ...after, turns_without_cost: 3, turns_without_usage: 3 });
});
