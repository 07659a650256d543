/** Sessions that share three slots for awake sandboxes and two for starts: real objects, a scripted broker. */
import { runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, test, vi } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { createdSessions } from "../../../test/broker.ts";
import { begin, capacityStub, crashCapacity, end, entries, expireLeases, stops } from "../../../test/capacity.ts";
import { eventually } from "../../../test/eventually.ts";
import type { FakeRunner } from "../../../test/fake-runner.ts";
import { boot, linksOf, loseSandbox, outcomeOf } from "../../../test/sandbox.ts";
import { TestSession, valueIn } from "../../../test/session.ts";
import { Capacity } from "./capacity.ts";
import type { CapacityEntry } from "./capacity-rules.ts";

const AWAKE = 3;
const AWAKE_NEED = { need: "awake", refusals: 0, keepsSlot: false } as const;

const made: TestSession[] = [];
afterEach(async () => {
  await end(...made.splice(0));
  await eventually(async () => expect(await entries()).toEqual([]));
});

async function start(prompt?: string): Promise<TestSession> {
  const session = await begin(prompt);
  made.push(session);
  return session;
}

/** Returns an awake, idle session. */
async function awake(): Promise<{ session: TestSession; runner: FakeRunner }> {
  const session = await start();
  return { session, runner: await boot(session) };
}

/** Fills all slots with sessions that each work on a message. */
async function fill() {
  const busy = [];
  for (let nth = 0; nth < AWAKE; nth++) {
    const { session, runner } = await awake();
    await session.send("work");
    const { attemptId } = await runner.accept();
    busy.push({ session, runner, attemptId });
  }
  return busy as [(typeof busy)[0], (typeof busy)[0], (typeof busy)[0]];
}

const firstMessage = async (session: TestSession) => {
  const [message] = valueIn(await session.stub.messages()).messages;
  if (message === undefined) throw new Error("no message");
  return message;
};

const waitsAt = (session: TestSession, capacityPlace: number) =>
  eventually(async () => expect(await session.view()).toMatchObject({ capacityPlace, status: "starting" }));

describe("a session without a free slot", () => {
  test("waits with its place in its view, its messages and its spans, and continues when a sandbox ends", async () => {
    const [{ session: first }] = await fill();
    const [a, b] = [await start("one"), await start("two")];
    await waitsAt(a, 1);
    await waitsAt(b, 2);
    const message = await firstMessage(b);
    await b.messageIs(message.id, { status: "queued", queueReason: "capacity", capacityPlace: 2 });
    // The start's timeout begins with its turn, not while it waits.
    expect(await a.timers()).not.toContain("start");
    expect(await a.broker.calls("create")).toHaveLength(0);

    await end(first);
    const runner = await boot(a);
    await waitsAt(b, 1);
    await b.messageIs(message.id, { queueReason: "capacity", capacityPlace: 1 });
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    await stops(runner);
    await boot(b);
    expect((await b.view()).capacityPlace).toBeUndefined();
    expect((await b.message(message.id)).capacityPlace).toBeUndefined();

    const spawn = await b.onlySpan("valet.sandbox.spawn");
    const turn = await b.onlySpan("valet.capacity.wait");
    expect(turn).toMatchObject({ parentSpanId: spawn.spanId, attributes: { "valet.capacity.place": 1 } });
    expect(outcomeOf(turn)[0]).toBe("ok");
    const wait = await b.onlySpan("valet.queue.wait");
    expect(linksOf(wait, "waited_on")).toContain(spawn.spanId);
    const places = wait.events.map(({ name, attributes }) => [name, attributes["valet.capacity.place"]]);
    expect(places).toContainEqual(["valet.queue.reason", 2]);
    expect(places).toContainEqual(["valet.capacity.place", 1]);
    // It got the slot of an idle session.
    expect((await a.onlySpan("valet.sandbox.hibernate")).attributes["valet.hibernate.reason"]).toBe("capacity");
  });

  test("names the owner's sessions that hold the places, and only counts those of other owners; so does a message behind a workflow", async () => {
    const [{ session: first }, { session: second }] = await fill();
    const projected = "SELECT COUNT(*) AS count FROM sessions WHERE id IN (SELECT value FROM json_each(?))";
    await eventually(async () => {
      const row = await bindings.DB.prepare(projected)
        .bind(JSON.stringify(made.map(({ id }) => id)))
        .first();
      expect(row?.count).toBe(AWAKE);
    });
    await bindings.DB.prepare("UPDATE sessions SET owner_id = 'own_other' WHERE id = ?").bind(second.id).run();
    const a = await start();
    await a.startWorkflow({ name: "build", steps: [{ name: "make", run: "make" }] });
    const behind = await a.send("then this");
    await waitsAt(a, 1);
    const now = valueIn(await a.stub.now());
    const own = made.map(({ id }) => id).filter((id) => id !== second.id && id !== a.id);
    const capacityHolders = {
      limit: "awake",
      sessions: expect.toSatisfy((held: { sessionId: string }[]) =>
        own.every((id) => held.some(({ sessionId }) => sessionId === id)),
      ),
      ownCount: AWAKE - 1,
      otherCount: 1,
    };
    expect(now.capacityHolders).toEqual(capacityHolders);
    expect(now.verdict).toMatchObject({ rule: "in_line", command: "valet status" });
    expect(now.verdict.why).toMatch(
      /^The limit on sandboxes awake at once \(`VALET_MAX_AWAKE`\) is reached; the session stands at place 1 in line for one\. The places are held by ses_\w+, ses_\w+ and 1 session of other owners\.$/,
    );
    const why = valueIn(await a.stub.why("message", behind));
    expect(why.capacityHolders).toEqual(capacityHolders);
    expect(why.sentence).toMatch(
      /; now waiting for room .*; the places for sandboxes are held by ses_\w+, ses_\w+ and 1 session of/,
    );
    expect(why.time.parts[0]).toMatchObject({ name: "queue.capacity" });
    expect(JSON.stringify([now, why])).not.toContain(second.id);

    await end(first);
    const runner = await boot(a);
    const { attemptId } = await runner.acceptWorkflow();
    expect(valueIn(await a.stub.now())).not.toHaveProperty("capacityHolders");
    expect(valueIn(await a.stub.why("message", behind))).not.toHaveProperty("capacityHolders");
    expect(attemptId).toBeDefined();
  });

  test("leaves the line when it is terminated", async () => {
    const [{ session: first }] = await fill();
    const [a, b] = [await start("one"), await start("two")];
    await waitsAt(b, 2);
    await end(a);
    await waitsAt(b, 1);
    expect(await a.broker.calls("create")).toHaveLength(0);
    expect(outcomeOf(await a.onlySpan("valet.capacity.wait"))[0]).toBe("aborted");
    await end(first);
    await boot(b);
  });

  test.each(["its own object dies", "the capacity object dies", "both die"])("gets its turn though %s", async (who) => {
    const [{ session: first }] = await fill();
    const a = await start("one");
    await waitsAt(a, 1);
    if (who !== "the capacity object dies") await a.crash();
    if (who !== "its own object dies") await crashCapacity();
    await end(first);
    await boot(a);
    expect(await a.broker.calls("create")).toHaveLength(1);
  });
});

describe("the session that is asked to hibernate", () => {
  test("is the one that has been idle the longest, and one for each that waits", async () => {
    const [oldest, middle, newest] = [await awake(), await awake(), await awake()];
    const waiting = await start("one");
    await stops(oldest.runner);
    await oldest.session.reaches("hibernated");
    await boot(waiting);
    for (const { session } of [middle, newest]) expect((await session.view()).status).toBe("running");
  });

  test("goes to the end of the line if it gets work while it hibernates", async () => {
    const [first] = [await awake(), await awake(), await awake()];
    const waiting = await start("one");
    await first.runner.next("shutdown");
    const id = await first.session.send("more");
    first.runner.send({ type: "stopped" });
    await boot(waiting);
    await first.session.messageIs(id, { status: "queued" });
    await eventually(async () => expect((await first.session.view()).status).toBe("restoring"));
    expect(await first.session.broker.calls("restore")).toHaveLength(0);
  });

  test("has no job, no open question, no workflow and no background process", async () => {
    const [job, question, background] = [await awake(), await awake(), await awake()];
    await job.session.startWorkflow({ name: "w", steps: [{ name: "s", run: "true" }] });
    const { attemptId: workflowAttempt } = await job.runner.acceptWorkflow();
    await question.session.send("ask");
    const { attemptId } = await question.runner.accept();
    const questions = [{ question: "Which?", header: "Which", options: [] }];
    question.runner.send({ type: "question-asked", attemptId, questionId: "que_1", questions });
    await eventually(async () => expect((await question.session.view()).questions).toHaveLength(1));
    background.runner.background = 1;
    const waiting = await start("one");
    await waitsAt(waiting, 1);
    // It was asked, and declined.
    await background.runner.next("background-check");
    await eventually(async () => expect((await entries()).filter(({ need }) => need === "awake")).toHaveLength(AWAKE));
    for (const { session } of [job, question, background]) expect((await session.view()).status).toBe("running");

    await job.runner.endWorkflow(workflowAttempt);
    await stops(job.runner);
    await boot(waiting);
    for (const { session } of [question, background]) expect((await session.view()).status).toBe("running");
  });

  test("is the next one when the first cannot, and the first is not asked again and again", async () => {
    const [first, next] = [await awake(), await awake(), await awake()];
    await first.session.broker.script({ snapshot: [{ problem: { status: 500, code: "internal" } }] });
    const waiting = await start("one");
    await stops(next.runner);
    await boot(waiting);
    expect((await first.session.view()).status).toBe("running");
    expect(await first.session.broker.calls("snapshot")).toHaveLength(1);
  });

  test("is none whose runner does not report its background processes", async () => {
    const [silent, next, last] = [await awake(), await awake(), await awake()];
    silent.runner.background = undefined;
    const waiting = await start("one");
    await stops(next.runner);
    await boot(waiting);
    expect(silent.runner.heard.map(({ type }) => type)).toContain("background-check");
    for (const { session } of [silent, last]) expect((await session.view()).status).toBe("running");
  });
});

describe("a slot is returned", () => {
  const next = async () => {
    const session = await start("one");
    await waitsAt(session, 1);
    return session;
  };

  test("by a hibernating session; terminating a hibernated session returns no other session's slot", async () => {
    const [{ session, runner, attemptId }] = await fill();
    const waiting = await next();
    await runner.end(attemptId);
    await stops(runner);
    await boot(waiting);
    expect((await entries()).filter(({ isAwake }) => isAwake)).toHaveLength(AWAKE);
    await end(session);
    expect((await entries()).filter(({ isAwake }) => isAwake)).toHaveLength(AWAKE);
    await waitsAt(await start("two"), 1);
  });

  test("by a session whose start has failed permanently", async () => {
    const [first] = await fill();
    const failing = await start("one");
    await failing.broker.script({ create: [{ problem: { status: 500, code: "start_failed" } }] });
    const waiting = await start("two");
    await waitsAt(waiting, 2);
    await end(first.session);
    await failing.reaches("error");
    await boot(waiting);
  });

  test("not by a recovering session: it keeps its slot and starts before those who wait for one", async () => {
    const [{ session, runner }] = await fill();
    const waiting = await next();
    await loseSandbox(session, runner);
    await eventually(async () => expect((await session.view()).generation).toBe(2));
    await boot(session);
    await waitsAt(waiting, 1);
    expect(await waiting.broker.calls("create")).toHaveLength(0);
  });

  test("by a session that no longer exists", async () => {
    const missing = new TestSession();
    await fillBut(missing);
    expect((await entries()).map(({ sessionId }) => sessionId)).toContain(missing.id);
    await expireLeases(missing.id);
    await eventually(async () => expect((await entries()).map(({ sessionId }) => sessionId)).not.toContain(missing.id));
    await boot(await start("one"));
  });

  test("not by a living session: its lease is renewed when it expires", async () => {
    const [{ session }] = await fill();
    const waiting = await next();
    await expireLeases(session.id);
    await eventually(async () => {
      const entry = (await entries()).find(({ sessionId }) => sessionId === session.id);
      expect(entry).toMatchObject({ isAwake: true, misses: 0 });
      expect(entry?.expiresMs).toBeGreaterThan(Date.now());
    });
    expect((await waiting.view()).capacityPlace).toBe(1);
  });
});

/** Fills the slots, one of them by a session that does not exist. */
async function fillBut(missing: TestSession): Promise<void> {
  await capacityStub().report({ sessionId: missing.id, generation: 1, version: 1, ...AWAKE_NEED });
  for (let nth = 1; nth < AWAKE; nth++) {
    const { session, runner } = await awake();
    await session.send("work");
    await runner.accept();
  }
}

describe("the broker's own limit", () => {
  test("fails no session: the start waits and continues", async () => {
    const full = { problem: { status: 503, code: "capacity" } };
    const session = new TestSession();
    made.push(session);
    await session.broker.script({ create: [full, full] });
    await session.create({ prompt: "one" });
    await waitsAt(session, 1);
    const message = await firstMessage(session);
    await session.messageIs(message.id, { status: "queued", queueReason: "capacity", capacityPlace: 1 });
    await eventually(async () => expect(await session.broker.calls("create")).toHaveLength(3));
    const runner = await boot(session);
    const { attemptId } = await runner.accept();
    await runner.end(attemptId);
    await session.messageIs(message.id, { outcome: "ok" });
    const creates = await session.spans("valet.sandbox.create");
    expect(creates.map((span) => outcomeOf(span).join(" ").trim())).toEqual([
      "error broker_full",
      "error broker_full",
      "ok",
    ]);
    expect(outcomeOf(await session.onlySpan("valet.sandbox.spawn"))[0]).toBe("ok");
  });

  test("makes idle sessions hibernate, even if the table has free slots, and the start continues at once", async () => {
    const idle = await awake();
    const session = new TestSession();
    made.push(session);
    const full = { problem: { status: 503, code: "capacity" } };
    await session.broker.script({ create: [full] });
    await session.create({ prompt: "one" });
    await stops(idle.runner);
    await idle.session.reaches("hibernated");
    await eventually(async () => expect(await session.broker.calls("create")).toHaveLength(2));
    await boot(session);
  });
});

/** Thirty courses, one after the other: on a machine that has much else to do they have taken two minutes. */
const THIRTY = { timeout: 600_000 };

describe("thirty sessions at once", () => {
  test("are all answered in the order they came, with never more sandboxes than slots", THIRTY, async () => {
    let [awakeNow, awakeMost] = [0, 0];
    const sessions: TestSession[] = [];
    for (let nth = 0; nth < 30; nth++) sessions.push(await start(`message ${nth}`));
    const ids = new Set(sessions.map(({ id }) => id));
    // One request for all: thirty sessions that each ask keep the machine busy.
    let order: readonly string[] = [];
    const overtaken: string[] = [];
    const seeAll = (async () => {
      while (order.length < sessions.length) {
        order = (await createdSessions()).filter((id) => ids.has(id));
        overtaken.push(...overtakenIn(await entries()));
        await scheduler.wait(50);
      }
    })();
    const work = sessions.map(async (session) => {
      while (!order.includes(session.id)) await scheduler.wait(50);
      expect(await session.broker.calls("create")).toHaveLength(1);
      awakeNow++;
      awakeMost = Math.max(awakeMost, awakeNow);
      const runner = await boot(session);
      const { attemptId } = await runner.accept();
      await runner.end(attemptId);
      // It hibernates when it is asked to, or stays awake when no session waits.
      await eventuallyLong(async () => {
        const isAsked = runner.heard.some(({ type }) => type === "shutdown");
        const isOver = (await entries()).every(({ need }) => need === "awake");
        expect(isAsked || isOver).toBe(true);
      });
      if (!runner.heard.some(({ type }) => type === "shutdown")) return;
      awakeNow--;
      await stops(runner);
      await session.reaches("hibernated");
    });
    await Promise.all([seeAll, ...work]);
    expect(awakeMost).toBeLessThanOrEqual(AWAKE);
    for (const session of sessions) expect(await firstMessage(session)).toMatchObject({ outcome: "ok" });
    expect(overtaken).toEqual([]);
  });
});

/**
 * Returns the sessions that were overtaken: they wait for their first slots, and a session that came later has its slots already. A
 * session that starts again does not count: its runner was lost, on a busy machine, and it has kept its slot.
 */
function overtakenIn(all: readonly CapacityEntry[]): string[] {
  const starts = all.filter(({ need, generation }) => need === "start" && generation === 1);
  const last = Math.max(...starts.filter(({ isAwake }) => isAwake).map(({ seq }) => seq));
  return starts.filter(({ isAwake, seq }) => !isAwake && seq < last).map(({ sessionId }) => sessionId);
}

async function eventuallyLong(check: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await check();
    } catch {
      await scheduler.wait(50);
    }
  }
}

describe("a full disk", () => {
  const report = (sessionId: string, need: "none" | "awake" | "start", version = 1) => ({
    sessionId,
    generation: 1,
    version,
    need,
    refusals: 0,
    keepsSlot: false,
  });

  /** Runs `work` while the object cannot store anything. */
  async function withoutRoom<T>(storage: DurableObjectStorage, work: () => T | Promise<T>): Promise<T> {
    const exec = storage.sql.exec.bind(storage.sql);
    storage.sql.exec = ((query: string, ...values: SqlStorageValue[]) => {
      if (!query.startsWith("SELECT")) throw new Error("database or disk is full: SQLITE_FULL");
      return exec(query, ...values);
    }) as typeof storage.sql.exec;
    try {
      return await work();
    } finally {
      storage.sql.exec = exec as typeof storage.sql.exec;
    }
  }

  test("changes nothing in memory that was not stored: no slot is taken, kept or returned", async () => {
    await runInDurableObject(capacityStub(), async (object, { storage }) => {
      const lost = ["ses_a", "ses_b", "ses_c"];
      await withoutRoom(storage, async () => {
        for (const id of lost) await expect(object.report(report(id, "awake"))).rejects.toThrow("SQLITE_FULL");
      });
      // All three slots are free.
      expect(await object.report(report("ses_d", "awake"))).toMatchObject({ granted: true });
      expect(await object.report(report("ses_e", "awake"))).toMatchObject({ granted: true });
      expect(await object.report(report("ses_f", "start"))).toMatchObject({ granted: true });
      await withoutRoom(storage, async () => {
        await expect(object.report(report("ses_d", "none", 2))).rejects.toThrow("SQLITE_FULL");
      });
      // The slot was not returned, and the repeated report does not count as an old one.
      expect(await object.report(report("ses_g", "start"))).toMatchObject({ granted: false, place: 1 });
      await object.report(report("ses_d", "none", 2));
      expect(await object.report(report("ses_g", "start"))).toMatchObject({ granted: true });
      for (const id of ["ses_e", "ses_f", "ses_g"]) await object.report(report(id, "none", 2));
    });
  });

  test("fails an alarm, which is retried", async () => {
    await runInDurableObject(capacityStub(), async (object, { storage }) => {
      const log = vi.spyOn(console, "error").mockImplementation(() => {});
      const set = vi.spyOn(storage, "setAlarm");
      try {
        await object.report(report("ses_h", "awake"));
        await withoutRoom(storage, () => {
          vi.useFakeTimers({ now: Date.now() + 24 * 3_600_000, toFake: ["Date"] });
          object.alarm();
        });
        expect(log).toHaveBeenCalled();
        expect(set).toHaveBeenLastCalledWith(Date.now() + 5000);
      } finally {
        vi.useRealTimers();
        set.mockRestore();
        log.mockRestore();
        await object.report(report("ses_h", "none", 2));
      }
    });
  });
});

test("while a variable of the deployment is invalid, no lease is lost or granted, and the alarm comes again", async () => {
  const { session } = await awake();
  const before = await entries();
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  await runInDurableObject(capacityStub(), async (_object, ctx) => {
    ctx.storage.sql.exec("UPDATE entries SET entry = json_set(entry, '$.expiresMs', 0, '$.misses', 99)");
    const object = new Capacity(ctx, { ...bindings, VALET_ABORT_MS: "soon" });
    await ctx.storage.deleteAlarm();
    object.alarm();
    expect(await ctx.storage.getAlarm()).toBeGreaterThan(Date.now());
    await expect(
      object.report({ sessionId: session.id, generation: 1, version: 99, need: "none", refusals: 0, keepsSlot: false }),
    ).rejects.toThrow("VALET_ABORT_MS: must be a whole number of milliseconds");
    ctx.storage.sql.exec(
      "UPDATE entries SET entry = json_set(entry, '$.expiresMs', ?, '$.misses', 0)",
      Date.now() + 60_000,
    );
  });
  log.mockRestore();
  expect(await entries()).toMatchObject(before.map(({ sessionId, need, version }) => ({ sessionId, need, version })));
});
