/** The deletion of a session, step by step, on the real object. The test plays broker and runner, and breaks what it likes. */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { expectCatalogued } from "../../../test/catalogue.ts";
import { eventually } from "../../../test/eventually.ts";
import type { FakeRunner } from "../../../test/fake-runner.ts";
import { childrenOf, spawned } from "../../../test/family.ts";
import { rowsReadBy, totalOf } from "../../../test/rows-read.ts";
import { asleep, linksOf, outcomeOf } from "../../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { issueTicket } from "../../auth/tickets.ts";
import { upsertSession } from "../../database/sessions.ts";
import { SessionAgent } from "../session-agent.ts";

const { DB } = bindings;
const AWAY = { problem: { status: 503, code: "broker_error" } } as const;
const GONE = { ok: false, problem: expect.objectContaining({ status: 410 }) };

async function remove(session: TestSession) {
  return valueIn(await session.stub.deleteSession(CALLER));
}

/** The tombstone of a session; `null` before. */
function tombstoneOf({ id }: TestSession): Promise<Record<string, unknown> | null> {
  return DB.prepare("SELECT * FROM deleted_sessions WHERE id = ?").bind(id).first();
}

/** How many rows D1 has of a session besides its tombstone and its turns. */
async function rowsOf({ id }: TestSession): Promise<number> {
  const count = (table: string, key: string) => `(SELECT COUNT(*) FROM ${table} WHERE ${key} = ?1)`;
  const tables = [count("sessions", "id"), count("socket_tickets", "session_id"), count("session_costs", "session_id")];
  const row = await DB.prepare(`SELECT ${tables.join(" + ")} AS n`)
    .bind(id)
    .first<{ n: number }>();
  return row?.n ?? 0;
}

/** What the object has stored: its tables, and its alarm. */
function storedBy({ stub }: TestSession): Promise<{ tables: number; alarmMs: number | null }> {
  return runInDurableObject(stub, async (_object, { storage }) => ({
    tables: storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray().length,
    alarmMs: await storage.getAlarm(),
  }));
}

const NOTHING = { tables: 0, alarmMs: null };

/** Expects that nothing is left of a session but its tombstone. */
async function expectDeleted(session: TestSession, expected: object = {}): Promise<void> {
  await eventually(async () => expect(await tombstoneOf(session)).not.toBeNull());
  await eventually(async () => expect(await storedBy(session)).toEqual(NOTHING));
  expect(await tombstoneOf(session)).toMatchObject({ owner_id: CALLER.ownerId, spans_not_exported: 0, ...expected });
  expect(await rowsOf(session)).toBe(0);
}

/** Has the runner stop when it is asked to. */
async function stop(runner: FakeRunner): Promise<void> {
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
}

/** Makes D1 refuse tombstones, or the statements that contain a text, until the function that it returns is called. */
function refuseTombstones(what = "INTO deleted_sessions"): () => void {
  const prepare = DB.prepare.bind(DB);
  const broken = vi.spyOn(DB, "prepare").mockImplementation((query) => {
    if (query.includes(what)) throw new Error("the test breaks it");
    return prepare(query);
  });
  onTestFinished(() => broken.mockRestore());
  return () => broken.mockRestore();
}

describe("a session that is deleted", () => {
  test("during a turn: the turn is aborted, the sandbox ends, and nothing is left but the tombstone and the turn", async () => {
    const { session, runner } = await TestSession.running();
    const messageId = await session.send("work");
    const { attemptId } = await runner.accept();
    const view = await remove(session);
    expect(view).toMatchObject({ status: "terminating", deletion: { reason: "requested" } });
    await session.messageIs(messageId, { status: "accepted" });
    expect(await session.stub.sendMessage({ content: "more" }, CALLER)).toMatchObject({ ok: false });
    await runner.end(attemptId, { outcome: "aborted", errorType: "session_terminated" });
    await stop(runner);
    await expectDeleted(session, { reason: "requested", deleted_by: CALLER.ownerId, unfinished_calls: 0 });
    expect((await session.broker.calls("terminate")).length).toBe(1);
    // The figures of its turns stay.
    const turn = await DB.prepare("SELECT outcome, session_id FROM turns WHERE attempt_id = ?").bind(attemptId).first();
    expect(turn).toEqual({ outcome: "aborted", session_id: session.id });
  });

  test("while it sleeps: its snapshot is deleted at the broker, too", async () => {
    const session = await asleep();
    await remove(session);
    await expectDeleted(session);
    expect((await session.broker.calls("deleteSnapshot")).length).toBe(1);
  });

  test("after it was terminated, and while it is starting", async () => {
    const { session, runner } = await TestSession.running();
    valueIn(await session.stub.terminate(CALLER));
    await stop(runner);
    await session.reaches("terminated");
    await remove(session);
    await expectDeleted(session);

    const starting = new TestSession();
    await starting.broker.script({ create: [{ hold: true }] });
    await starting.create();
    await eventually(async () => expect(await starting.broker.held()).toBe(1));
    await remove(starting);
    await starting.reaches("terminated");
    expect(await tombstoneOf(starting)).toBeNull();
    // The sandbox that the broker makes too late is ended, too.
    await starting.broker.letGo();
    await expectDeleted(starting);
    expect((await starting.broker.calls("terminate")).length).toBe(1);
  });

  test("is traced: one span, caused by the request, causes the end of the session", async () => {
    const { session, runner } = await TestSession.running();
    const repair = refuseTombstones();
    await remove(session);
    await remove(session);
    await stop(runner);
    const span = await eventually(async () => {
      const found = await session.onlySpan("valet.session.delete");
      expect(found.isOpen).toBe(false);
      return found;
    });
    expect(outcomeOf(span)).toEqual(["ok", undefined]);
    expect(span.attributes).toMatchObject({ "valet.delete.reason": "requested", "user.id": CALLER.ownerId });
    expect(linksOf(span, "caused_by")).toEqual([CALLER.traceparent?.split("-")[2]]);
    const terminate = await session.onlySpan("valet.session.terminate");
    expect(terminate.attributes["valet.terminate.reason"]).toBe("session_deleted");
    expect(linksOf(terminate, "caused_by")).toEqual([span.spanId]);
    expectCatalogued(session.id, await session.spans());
    repair();
    await session.elapse("deletion");
    await expectDeleted(session);
  });
});

describe("what is around a deleted session", () => {
  test("its sockets are closed: the runner's link and a client's", async () => {
    const { session, runner } = await TestSession.running();
    const response = await session.stub.fetch("https://session/client", { headers: { upgrade: "websocket" } });
    const client = response.webSocket as WebSocket;
    client.accept();
    const closed = new Promise<CloseEvent>((resolve) => client.addEventListener("close", resolve));
    await remove(session);
    await stop(runner);
    expect(await closed).toMatchObject({ code: 1000, reason: "the session was deleted" });
    await eventually(() => expect(runner.closed).toBeDefined());
    await expectDeleted(session);
  });

  test("its tickets go with it", async () => {
    const session = await asleep();
    await issueTicket(DB, session.id, "a token's hash");
    await eventually(async () => expect(await rowsOf(session)).toBeGreaterThan(1));
    await remove(session);
    await expectDeleted(session);
  });

  test("its lease of a slot has returned", async () => {
    const { session, runner } = await TestSession.running();
    await remove(session);
    await stop(runner);
    await expectDeleted(session);
    const capacity = bindings.CAPACITY.get(bindings.CAPACITY.idFromName("localhost"));
    const held = await runInDurableObject(capacity, (_object, { storage }) => {
      const rows = storage.sql.exec("SELECT entry FROM entries WHERE session_id = ?", session.id).toArray();
      return rows.map(({ entry }) => JSON.parse(entry as string)).filter(({ need }) => need !== "none");
    });
    expect(held).toEqual([]);
  });

  test("its children are deleted with it, those that have ended, too; their reports find no parent, and nothing wakes again", async () => {
    const { parent, runner, child } = await spawned();
    await child.reaches("starting");
    await remove(parent);
    await stop(runner);
    await expectDeleted(parent);
    await expectDeleted(child, { reason: "parent_session_deleted", deleted_by: CALLER.ownerId });
    expect(await storedBy(parent)).toEqual(NOTHING);
  });

  test("reads a few rows for each of its children, however many there are", { timeout: 60_000 }, async () => {
    const rows = { few: 0, many: 0 };
    for (const [key, children] of [
      ["few", 400],
      ["many", 2000],
    ] as const) {
      const session = await asleep();
      // Their own retention periods are over.
      await DB.prepare(
        `INSERT INTO deleted_sessions WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
         SELECT ?2 || '_' || n, ?3, '2026-01-01T00:00:00.000Z', 'retention', NULL, 0, 0 FROM n`,
      )
        .bind(children, session.id, CALLER.ownerId)
        .run();
      const sql = await runInDurableObject(session.stub, (_object, { storage }) => {
        storage.sql.exec(
          `INSERT INTO children (id, state, channel) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
           SELECT ?2 || '_' || n, 'ended', 'main' FROM n`,
          children,
          session.id,
        );
        return storage.sql;
      });
      const read = await rowsReadBy(sql, async () => {
        await remove(session);
        await expectDeleted(session, { unfinished_calls: 0 });
      });
      rows[key] = totalOf(read) / children;
    }
    expect(rows.many).toBeLessThanOrEqual(1.2 * rows.few);
  });

  test("begins with all children before it gives up, although those before them never answer", async () => {
    const session = await asleep();
    await runInDurableObject(session.stub, (_object, { storage }) => {
      storage.sql.exec(
        `INSERT INTO children (id, state, channel) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 120)
         SELECT ?1 || '_' || n, 'ended', 'main' FROM n`,
        session.id,
      );
    });
    const begun = () =>
      runInDurableObject(session.stub, (_object, { storage }) => {
        const [row] = storage.sql.exec("SELECT COUNT(*) AS calls FROM durable_calls WHERE kind = 'child-end'");
        return row?.calls;
      });
    // No child can be called.
    const repair = refuseTombstones("FROM deleted_sessions WHERE id");
    await remove(session);
    await eventually(async () => expect(await begun()).toBe(50));
    await session.elapse("deletion");
    expect(await begun()).toBe(50);
    await runInDurableObject(session.stub, (_object, { storage }) => {
      const sinceMs = Date.now() - 13 * 3_600_000;
      storage.sql.exec("UPDATE session SET record = json_set(record, '$.deletion.sinceMs', ?)", sinceMs);
    });
    await session.crash();
    await eventually(async () => {
      await session.elapse("deletion").catch(() => {});
      expect(await begun()).toBe(120);
    });
    repair();
  });

  test("a parent learns that its child has ended, and calls it no more", async () => {
    const { parent, runner, child } = await spawned();
    const repair = refuseTombstones();
    await remove(child);
    await eventually(async () => expect(await childrenOf(parent)).toEqual({ [child.id]: "ended" }));
    repair();
    await eventually(async () => child.elapse("deletion").catch(() => {}));
    await expectDeleted(child);
    // The parent ends, and has nobody to tell.
    const deleted = vi.spyOn(SessionAgent.prototype, "endAsChild");
    valueIn(await parent.stub.terminate(CALLER));
    await stop(runner);
    await parent.reaches("terminated");
    expect(deleted).not.toHaveBeenCalled();
    deleted.mockRestore();
  });

  test("is not created again under its id, by a late call of its parent, an upsert or anybody", async () => {
    const session = await asleep();
    const view = await session.view();
    await remove(session);
    await expectDeleted(session);
    expect(await session.stub.create({ id: session.id }, CALLER)).toEqual(GONE);
    expect(await session.stub.endAsChild("ses_parent", "requested", CALLER)).toMatchObject({ ok: true });
    expect(await session.stub.deleteAsChild("ses_parent", null, CALLER)).toMatchObject({ ok: true });
    expect(await session.stub.recordSpans('{"resourceSpans":[]}')).toBe(false);
    expect(await session.stub.capacity("localhost")).toBeNull();
    expect(await session.stub.yieldSlot("localhost")).toBe(false);
    expect(await session.stub.now()).toMatchObject({ ok: false });
    await upsertSession(DB, { ownerId: CALLER.ownerId, version: 1_000_000, view }).run();
    await session.evict();
    expect(await session.stub.create({ id: session.id }, CALLER)).toEqual(GONE);
    expect(await session.stub.endAsChild("ses_parent", "requested", CALLER)).toMatchObject({ ok: true });
    expect(await session.stub.view()).toMatchObject({ ok: false });
    // A request that passed the middleware just before the tombstone makes no tables.
    expect(await session.stub.now()).toMatchObject({ ok: false });
    await session.alarm();
    await expectDeleted(session);
  });
});

describe("a crash or a failure during a deletion", () => {
  test("before the sandbox has ended is repeated", async () => {
    const { session, runner } = await TestSession.running();
    await session.broker.script({ terminate: [{ hold: true }] });
    await remove(session);
    await stop(runner);
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.crash();
    await session.broker.letGo();
    await eventually(() => session.alarm());
    await expectDeleted(session);
  });

  test("while the broker is down: the deletion waits for the orphan, and ends when it is back", async () => {
    const session = await asleep();
    await session.broker.script({ deleteSnapshot: [AWAY, AWAY] });
    await remove(session);
    await eventually(async () => expect((await session.broker.calls("deleteSnapshot")).length).toBe(1));
    await session.crash();
    await eventually(async () => expect((await session.broker.calls("deleteSnapshot")).length).toBe(2));
    expect(await tombstoneOf(session)).toBeNull();
    expect(await session.view()).toMatchObject({ status: "terminated", deletion: { reason: "requested" } });
    await session.elapse("orphan");
    await expectDeleted(session);
    expect((await session.broker.calls("deleteSnapshot")).length).toBe(3);
  });

  test("while the broker is down for longer than a day: what is left is counted", async () => {
    const session = await asleep();
    await session.broker.script({ deleteSnapshot: Array.from({ length: 50 }, () => AWAY) });
    await remove(session);
    await eventually(async () => expect((await session.broker.calls("deleteSnapshot")).length).toBe(1));
    await runInDurableObject(session.stub, (_object, { storage }) => {
      storage.sql.exec("UPDATE session SET record = json_set(record, '$.deletion.sinceMs', 0)");
    });
    await session.crash();
    await session.elapse("deletion").catch(() => {});
    await expectDeleted(session, { unfinished_calls: 1 });
  });

  test.each(["goes on", "crashes"])("D1 refuses the tombstone, and the object %s: it is written later", async (how) => {
    const session = await asleep();
    const repair = refuseTombstones();
    await remove(session);
    await eventually(async () => expect((await session.view()).status).toBe("terminated"));
    await eventually(async () => expect(await session.timers()).toContain("deletion"));
    repair();
    expect(await tombstoneOf(session)).toBeNull();
    if (how === "crashes") await session.crash();
    await session.elapse("deletion").catch(() => {});
    await eventually(async () => {
      if ((await tombstoneOf(session)) === null) await session.alarm();
      expect(await tombstoneOf(session)).not.toBeNull();
    });
    await expectDeleted(session);
  });

  test("between the tombstone and the removal of the object's data: its data is removed when it starts", async () => {
    const session = await asleep();
    const repair = refuseTombstones();
    await remove(session);
    await eventually(async () => expect((await session.onlySpan("valet.session.delete")).isOpen).toBe(false));
    repair();
    await DB.prepare("INSERT INTO deleted_sessions VALUES (?, ?, '2026-01-01T00:00:00.000Z', 'requested', ?, 0, 0)")
      .bind(session.id, CALLER.ownerId, CALLER.ownerId)
      .run();
    await session.crash();
    await session.elapse("deletion").catch(() => {});
    await expectDeleted(session, { deleted_at: "2026-01-01T00:00:00.000Z" });
  });
});

test("the object's data cannot be removed: the object starts again, and removes it then", async () => {
  const session = await asleep();
  const broken = await runInDurableObject(session.stub, (_object, { storage }) =>
    vi.spyOn(storage, "deleteAll").mockImplementation(() => Promise.reject(new Error("the test breaks it"))),
  );
  await remove(session);
  await eventually(() => expect(broken).toHaveBeenCalled());
  await eventually(async () => {
    await session.crash();
    await session.elapse("deletion").catch(() => {});
    expect(await storedBy(session)).toEqual(NOTHING);
  });
  await expectDeleted(session);
});

describe("the retention period", () => {
  /** Makes a session's end this many days ago. */
  async function ended(session: TestSession, days: number): Promise<void> {
    await session.reaches("terminated");
    await runInDurableObject(session.stub, (_object, { storage }) => {
      const endedMs = Date.now() - days * 86_400_000;
      storage.sql.exec("UPDATE session SET record = json_set(record, '$.terminatedMs', ?)", endedMs);
    });
    await session.crash();
  }

  async function terminated(): Promise<TestSession> {
    const session = await asleep();
    valueIn(await session.stub.terminate(CALLER));
    return session;
  }

  test("of a terminated session ends with its deletion, which nobody asked for", async () => {
    const session = await terminated();
    await ended(session, 31);
    await session.elapse("retention");
    await expectDeleted(session, { reason: "retention", deleted_by: null });
  });

  test("is checked when its timer fires: a longer one counts", async () => {
    const session = await terminated();
    await ended(session, 29);
    await session.elapse("retention");
    expect(await session.timers()).toContain("retention");
    expect(await session.view()).not.toHaveProperty("deletion");
  });

  test("of a session that an earlier version terminated begins when its object starts", async () => {
    const session = await terminated();
    await session.reaches("terminated");
    await runInDurableObject(session.stub, (_object, { storage }) => {
      storage.sql.exec("UPDATE session SET record = json_remove(record, '$.terminatedMs')");
      storage.sql.exec("DELETE FROM timers WHERE kind = 'retention'");
    });
    await session.crash();
    expect(await session.timers()).toContain("retention");
  });

  test("that was shortened after its end, or began with no timer, is over at once when the upkeep asks", async () => {
    const [shortened, old, early, asleepOne] = [
      await terminated(),
      await terminated(),
      await terminated(),
      await asleep(),
    ];
    await ended(shortened, 31);
    await shortened.crash();
    await ended(early, 29);
    await old.reaches("terminated");
    await runInDurableObject(old.stub, (_object, { storage }) => {
      const record = "json_remove(json_set(record, '$.updatedMs', 1000), '$.terminatedMs')";
      storage.sql.exec(`UPDATE session SET record = ${record}`);
      storage.sql.exec("DELETE FROM timers WHERE kind = 'retention'");
    });
    await old.crash();
    for (const { stub } of [shortened, old, early, asleepOne]) await stub.checkRetention();
    await expectDeleted(shortened, { reason: "retention", deleted_by: null });
    await expectDeleted(old, { reason: "retention" });
    for (const session of [early, asleepOne]) expect(await session.view()).not.toHaveProperty("deletion");
    // An object that is gone, or never was, stores nothing.
    await shortened.stub.checkRetention();
    await expectDeleted(shortened, { reason: "retention" });
  });

  test("begins with no other end: a session that sleeps or failed stays", async () => {
    const session = await asleep();
    expect(await session.timers()).not.toContain("retention");
  });

  test("does not delete children with their parent: each has its own", async () => {
    const { parent, runner, child } = await spawned();
    valueIn(await parent.stub.terminate(CALLER));
    await stop(runner);
    await ended(parent, 31);
    await child.reaches("terminated");
    await parent.elapse("retention");
    await expectDeleted(parent, { reason: "retention" });
    expect(await child.view()).not.toHaveProperty("deletion");
    expect(await child.timers()).toContain("retention");
  });
});
