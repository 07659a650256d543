/** A `valet up` whose databases hold a session with a large trace and a long conversation, and many other sessions. */
import { addLargeTrace, type LargeTrace } from "../../packages/worker/test/large-trace.ts";
import { copyRows, growOld, type Tables } from "../../packages/worker/test/long-session.ts";
import { changeDatabases, copiesFor, livedSession } from "../long-session/aged-session.ts";
import type { Surroundings } from "../session/surroundings.ts";
import type { Valet } from "../session/valet.ts";

export interface Amounts {
  readonly spans: number;
  readonly messages: number;
  readonly sessions: number;
}

export interface StoredSystem {
  readonly valet: Valet;
  readonly sessionId: string;
  readonly trace: LargeTrace;
}

/** The large trace began so long ago: it lasts for some five hours. */
const AGE_MS = 12 * 3_600_000;
/** From one copy of a turn to the next, minutes. */
const APART_MIN = 50;

/** Starts a system, and starts it again on databases that have grown meanwhile. */
export async function startStoredSystem(surroundings: Surroundings, amounts: Amounts): Promise<StoredSystem> {
  const first = await surroundings.startValet(true);
  const { id, turns, leave } = await livedSession(first, surroundings.repoUrl, "Answer in one line.");
  leave();
  await first.stop();
  const copies = copiesFor(amounts.messages, turns);
  let trace: LargeTrace | undefined;
  changeDatabases(first.stateDir, id, {
    session: (tables) => {
      growConversation(tables, copies);
      trace = addLargeTrace(tables, id, amounts.spans, Date.now() - AGE_MS);
    },
    lists: (tables) => {
      growLists(tables, copies, amounts.sessions);
      if (trace !== undefined) assignTurn(tables, trace);
    },
  });
  if (trace === undefined) throw new Error(`no database of the session ${id}`);
  return { valet: await surroundings.startValet(true, first.stateDir), sessionId: id, trace };
}

/** Copies are newer than what they are copies of, the last one of today, and each message has words of its own. */
function growConversation(tables: Tables, copies: number): void {
  growOld(tables, copies, 0);
  tables.exec("UPDATE jobs SET acceptedMs = acceptedMs - (? - seq / 100) * ?", copies, APART_MIN * 60_000);
  tables.exec(
    `UPDATE jobs SET body = json_set(body, '$.content', printf('Message %d: mend the test of \`parse%d\` in src/parser.ts, ' ||
       'which has failed since yesterday, and say what was wrong with it.', seq, seq % 97))`,
  );
}

function growLists(tables: Tables, copies: number, sessions: number): void {
  const moved = (column: string, minutes: string) =>
    `strftime('%Y-%m-%dT%H:%M:%fZ', ${column}, (${minutes}) || ' minutes')`;
  const times = ["accepted_at", "dispatched_at", "ended_at"];
  const earlier = times.map((column) => `${column} = ${moved(column, `-${copies * APART_MIN}`)}`);
  tables.exec(`UPDATE turns SET ${earlier.join(", ")}`);
  const later = times.map((column) => [column, moved(column, `i * ${APART_MIN}`)]);
  const ids = { attempt_id: "attempt_id || '_' || i", message_ids: `replace(message_ids, '"]', '_' || i || '"]')` };
  copyRows(tables, { turns: { ...ids, ...Object.fromEntries(later) } }, copies);
  const id = "substr(id, 1, length(id) - 4) || printf('%04d', i)";
  const view = `json_set(view, '$.id', ${id}, '$.title', 'Session ' || i)`;
  copyRows(tables, { sessions: { id, created_at: moved("created_at", "-i"), view } }, sessions - 1);
}

/** The newest turn is that of the large trace. */
function assignTurn(tables: Tables, { traceId, startMs, endMs }: LargeTrace): void {
  const time = (ms: number) => new Date(ms).toISOString();
  tables.exec(
    `UPDATE turns SET trace_id = ?, dispatched_at = ?, ended_at = ?
     WHERE attempt_id = (SELECT attempt_id FROM turns ORDER BY ended_at DESC LIMIT 1)`,
    ...[traceId, time(startMs), time(endMs)],
  );
}
