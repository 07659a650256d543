// What a request reads from D1 does not depend on how many sessions, turns and tickets there are.
import type { SessionView } from "@valet/shared/protocol/session-view";
import { beforeAll, describe, expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { countingDatabase } from "../../test/d1-rows.ts";
import { TURN } from "../../test/turn-record.ts";
import { issueTicket, redeemTicket } from "../auth/tickets.ts";
import { readAccess } from "../auth/tokens.ts";
import { hashToken } from "../durable-objects/core/ids.ts";
import { deleteSession, findSession, whenDeleted } from "./deleted-sessions.ts";
import { readChildren, readFamily } from "./family.ts";
import { countExportProblems, listSessions, ownsSession, searchSessions, upsertSession } from "./sessions.ts";
import { makeToken, migrate } from "./setup.ts";
import { listTurns } from "./turn-lists.ts";
import { upsertTurn } from "./turns.ts";

const { DB, MIGRATIONS } = bindings;
const { db, take } = countingDatabase(DB);
const LIMIT = 51;

/** The owners: one with a few sessions more than two pages, one with many. */
const OWNERS = { few: 120, many: 3000 } as const;
type Owner = keyof typeof OWNERS;

/** Returns the n-th session's id and time of creation; each is a minute later than the one before. */
const idOf = (owner: Owner, n: number) => `ses_${owner}_${String(n).padStart(6, "0")}`;
const timeOf = (n: number) => new Date(1_700_000_000_000 + n * 60_000).toISOString();

/**
 * Adds an owner's sessions. All but the first are children of the first, and spans of all but the first three do not reach the
 * backend. The first has as many turns as there are sessions, and there are as many tickets and tokens.
 */
async function addOwner(owner: Owner): Promise<void> {
  const view = JSON.stringify({ id: "x", status: "running", createdAt: timeOf(0), updatedAt: timeOf(0) });
  const problem = JSON.stringify({ since: timeOf(0), reason: "timeout", waitingSpans: 1, stopped: false });
  const counter = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?1 - 1)";
  const id = `'ses_${owner}_' || printf('%06d', n)`;
  const time = "strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + n * 60, 'unixepoch')";
  const turn = { ...TURN, session_id: idOf(owner, 0) };
  await DB.batch([
    DB.prepare(
      `INSERT INTO sessions (id, owner_id, status, parent_session_id, created_at, updated_at, version, view)
       ${counter} SELECT ${id}, '${owner}', 'running', iif(n > 0, '${idOf(owner, 0)}', NULL), ${time}, ${time}, 1,
         json_set(?2, '$.id', ${id}, '$.createdAt', ${time}, '$.exportProblem', json(iif(n > 2, ?3, 'null'))) FROM n`,
    ).bind(OWNERS[owner], view, problem),
    upsertTurn(DB, owner, { ...turn, attempt_id: `att_${owner}` }),
    DB.prepare(
      `INSERT INTO turns (${Object.keys(TURN).join(", ")}, owner_id)
       ${counter} SELECT ${Object.keys(TURN).map((name) => (name === "attempt_id" ? "attempt_id || '_' || n" : name))}, owner_id
       FROM turns JOIN n WHERE attempt_id = 'att_${owner}'`,
    ).bind(OWNERS[owner] - 1),
    DB.prepare(`INSERT INTO socket_tickets ${counter} SELECT '${owner}' || n, 's', 't', '2999-01-01' FROM n`).bind(
      OWNERS[owner],
    ),
    DB.prepare(
      `INSERT INTO tokens (hash, owner_id, name, created_at, speaks_for_others) ${counter} SELECT '${owner}' || n, 'o', 't', '2026-01-01', 0 FROM n`,
    ).bind(OWNERS[owner]),
  ]);
}

beforeAll(async () => {
  await migrate(DB, MIGRATIONS);
  for (const owner of ["few", "many"] as const) await addOwner(owner);
}, 60_000);

/** Returns the rows that a piece of work reads for each owner. */
async function rowsOf(work: (owner: Owner) => Promise<unknown>): Promise<Record<Owner, number>> {
  const rows = { few: 0, many: 0 };
  for (const owner of ["few", "many"] as const) {
    take();
    await work(owner);
    rows[owner] = take();
  }
  return rows;
}

describe("a list of sessions reads a page, and nothing else:", () => {
  const filters = {
    all: () => ({}),
    children: (owner: Owner) => ({ parentSessionId: idOf(owner, 0) }),
    "with an export problem": () => ({ hasExportProblem: true }),
    "children with an export problem": (owner: Owner) => ({ parentSessionId: idOf(owner, 0), hasExportProblem: true }),
  };
  const from = (owner: Owner, n: number) => ({ createdAt: timeOf(n), id: idOf(owner, n) });
  const pages = {
    "the first page": () => ({}),
    "the second page": (owner: Owner) => ({ before: from(owner, OWNERS[owner] - 51) }),
    "the last page": (owner: Owner) => ({ before: from(owner, 54) }),
  };
  const cases = Object.entries(filters).flatMap(([filter, filterOf]) => {
    return Object.entries(pages).map(([page, pageOf]) => [filter, page, filterOf, pageOf] as const);
  });

  test.each(cases)("%s, %s", async (_filter, _page, filterOf, pageOf) => {
    const rows = await rowsOf(async (owner) => {
      const found = await listSessions(db, owner, LIMIT, { ...filterOf(owner), ...pageOf(owner) });
      expect(found).toHaveLength(LIMIT);
      expect(found).toEqual(found.toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1)));
    });
    expect(rows.many).toBeLessThanOrEqual(rows.few);
    expect(rows.many).toBeLessThanOrEqual(6 * LIMIT);
  });

  test("the children of a session that has none, or of another owner's", async () => {
    for (const parentSessionId of ["ses_none", idOf("few", 0)]) {
      take();
      expect(await listSessions(db, "many", LIMIT, { parentSessionId })).toEqual([]);
      expect(take()).toBeLessThanOrEqual(2);
    }
  });
});

test("a search looks at a bounded number of sessions for a page, and finds all of them in the end", async () => {
  const found: string[] = [];
  let before: { createdAt: string; id: string } | undefined;
  let pages = 0;
  do {
    take();
    const page = await searchSessions(db, "many", ["many_0020"], 60, { before });
    expect(take()).toBeLessThanOrEqual(1000 + 4 * 60);
    found.push(...page.sessions.map(({ id }) => id));
    before = page.next;
    pages++;
  } while (before !== undefined);
  expect(found).toEqual(Array.from({ length: 100 }, (_, index) => idOf("many", 2099 - index)));
  // Three thousand sessions, and one page that is full before it has looked at all of its thousand.
  expect(pages).toBe(4);
});

test("a search goes on where the only sessions of its page are deleted while it reads them", async () => {
  const target = { few: idOf("few", 60), many: idOf("many", 2500) };
  const deletingThem = {
    prepare: (query: string) =>
      DB.prepare(query.startsWith("SELECT view") ? query.replace("WHERE id IN", "WHERE 0 AND id IN") : query),
  } as unknown as D1Database;
  // It has looked at a thousand of three thousand sessions, and found one.
  const page = await searchSessions(deletingThem, "many", [target.many], 60);
  expect(page).toEqual({ sessions: [], next: { createdAt: timeOf(2000), id: idOf("many", 2000) } });
  // Its page is full with one session; others follow.
  const full = await searchSessions(deletingThem, "few", ["ses_few"], 1);
  expect(full).toEqual({ sessions: [], next: { createdAt: timeOf(119), id: idOf("few", 119) } });
  // All of its sessions were looked at, and there are no others.
  expect((await searchSessions(deletingThem, "few", [target.few], 60)).next).toBeUndefined();
});

test("a session and a turn are written, and tokens, tickets and sessions found, whatever their number", async () => {
  const view = (id: string) => ({ id, status: "running", createdAt: timeOf(0), updatedAt: timeOf(1) }) as SessionView;
  const works: Record<string, (owner: Owner) => Promise<unknown>> = {
    projection: (owner) =>
      db.batch([
        upsertTurn(db, owner, { ...TURN, attempt_id: `new_${owner}`, session_id: idOf(owner, 0) }),
        upsertSession(db, { ownerId: owner, version: 2, view: view(idOf(owner, 0)) }),
      ]),
    owns: (owner) => ownsSession(db, idOf(owner, 1), owner),
    exists: (owner) => findSession(db, idOf(owner, 1)),
    "is deleted": (owner) => whenDeleted(db, idOf(owner, 1)),
    deletes: (owner) =>
      db.batch(
        deleteSession(db, {
          id: idOf(owner, 5),
          ownerId: owner,
          deletedAt: timeOf(0),
          reason: "requested",
          deletedBy: owner,
          spansNotExported: 0,
          unfinishedCalls: 0,
        }),
      ),
    token: async (owner) => {
      const { token, statement } = makeToken(owner, "test");
      await db
        .prepare(statement.sql)
        .bind(...statement.params)
        .run();
      expect((await readAccess(db, { kind: "token", secret: token }, idOf(owner, 1))).ownerId).toBe(owner);
    },
    ticket: async (owner) => {
      const { token, statement } = makeToken(owner, "test");
      await db
        .prepare(statement.sql)
        .bind(...statement.params)
        .run();
      const { ticket } = await issueTicket(db, idOf(owner, 0), hashToken(token));
      expect(await redeemTicket(db, ticket, idOf(owner, 0))).toBe(owner);
    },
  };
  for (const [name, work] of Object.entries(works)) {
    const rows = await rowsOf(work);
    expect(rows.many, name).toBeLessThanOrEqual(rows.few + 2);
    expect(rows.many, name).toBeLessThanOrEqual(20);
  }
});

test("a family's cost is read off its sessions, whatever the number of their turns", async () => {
  take();
  const family = await readFamily(db, idOf("many", 0), "many");
  const rows = take();
  expect(rows).toBeLessThanOrEqual(2 * 5 * OWNERS.many);
  expect(family?.total).toMatchObject({ turns: 3001, cost_usd: 3001 / 4, tokens_input: 300_100 });
  expect(family?.sessions[0]).toMatchObject({ turns: 3001 });
  const before = rows;
  await DB.batch(
    Array.from({ length: 500 }, (_, n) =>
      upsertTurn(DB, "many", { ...TURN, attempt_id: `more_${n}`, session_id: idOf("many", 0) }),
    ),
  );
  take();
  await readFamily(db, idOf("many", 0), "many");
  expect(take()).toBe(before);
});

test("a large family lists the newest sessions of each level, and says how many it does not list", async () => {
  const family = await readFamily(DB, idOf("many", 0), "many");
  const { sessions = [], sessions_left_out, partial } = family ?? {};
  const newest = OWNERS.many - 999;
  const ids = [idOf("many", 0), ...Array.from({ length: 999 }, (_, n) => idOf("many", newest + n))];
  expect(sessions.map(({ id }) => id)).toEqual(ids);
  // One was deleted above.
  expect(sessions_left_out).toBe(OWNERS.many - 1 - 1000);
  expect(partial).toBeUndefined();
  expect(await readFamily(DB, idOf("few", 0), "few")).not.toHaveProperty("sessions_left_out");
});

test("of a family, a bounded number of sessions is read", async () => {
  const view = JSON.stringify({ id: "x", status: "terminated", createdAt: timeOf(0), updatedAt: timeOf(0) });
  const counts = { large: 12_000, larger: 24_000 };
  const rows = { large: 0, larger: 0 };
  for (const [owner, count] of Object.entries(counts)) {
    // A twelfth of them are children of the first, and each of these has eleven.
    await DB.prepare(
      `INSERT INTO sessions (id, owner_id, status, parent_session_id, created_at, updated_at, version, view)
       WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
       SELECT ?2 || n, ?2, 'terminated', parent, ?3, ?3, 1, json_set(?4, '$.id', ?2 || n, '$.parentSessionId', parent)
       FROM (SELECT n, CASE WHEN n = 0 THEN NULL WHEN n % 12 = 0 THEN ?2 || 0 ELSE ?2 || (n - n % 12) END AS parent FROM n)`,
    )
      .bind(count, owner, timeOf(0), view)
      .run();
    take();
    const family = await readFamily(db, `${owner}0`, owner);
    rows[owner as keyof typeof rows] = take();
    expect(family).toMatchObject({ sessions_left_out: 10_001 - 1000, partial: true });
    expect(family?.sessions).toHaveLength(1000);
    const ids = new Set(family?.sessions.map(({ id }) => id));
    expect(family?.sessions.slice(1).filter(({ parentSessionId = "" }) => !ids.has(parentSessionId))).toEqual([]);
  }
  // The second family is one level deep: all of its sessions are children of the first.
  take();
  await DB.prepare(
    "UPDATE sessions SET parent_session_id = 'larger0' WHERE owner_id = 'larger' AND id <> 'larger0'",
  ).run();
  await readFamily(db, "larger0", "larger");
  expect(take()).toBeLessThanOrEqual(1.2 * rows.large);
});

test("an agent's list of its children has the newest ones, with their costs, whatever the number of others", async () => {
  const rows = await rowsOf(async (owner) => {
    const children = await readChildren(db, idOf(owner, 0), owner, 100);
    const first = OWNERS[owner] - 100;
    expect(children.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, n) => idOf(owner, first + n)));
    expect(children[0]).toMatchObject({ status: "running", cost_usd: 0, turns_without_cost: 0 });
  });
  expect(rows.many).toBe(rows.few);
  expect(rows.many).toBeLessThanOrEqual(300);
});

describe("a full page of turns reads its own rows, and looks no further:", () => {
  const period = { from: "2000", to: "3000" };
  test.each([
    ["of an owner", () => ({})],
    ["of a session", (owner: Owner) => ({ sessionId: idOf(owner, 0) })],
    ["of a channel", () => ({ channel: TURN.channel })],
  ])("%s", async (_what, filterOf) => {
    const rows = await rowsOf(async (owner) => {
      const { turns, next } = await listTurns(db, owner, filterOf(owner), period, 50);
      expect(turns).toHaveLength(50);
      expect(next).toEqual({ endedAt: turns.at(-1)?.ended_at, attemptId: turns.at(-1)?.attempt_id });
    });
    expect(rows.many).toBe(rows.few);
    expect(rows.many).toBeLessThanOrEqual(3 * LIMIT);
  });
});

test("health counts the oldest thousand of the sessions whose spans do not arrive", async () => {
  take();
  expect(await countExportProblems(db)).toMatchObject({ sessions: 1000, reason: "timeout", since: timeOf(0) });
  expect(take()).toBeLessThanOrEqual(3000);
});
