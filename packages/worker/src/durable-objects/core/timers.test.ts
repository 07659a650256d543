import { runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { SESSION_MIGRATIONS } from "../session-schema.ts";
import { upgradeSchema } from "./schema.ts";
import { type TimerHandlers, Timers } from "./timers.ts";
import { Transactions } from "./transactions.ts";

/** Timers of an object of their own, on a clock that the test sets. The alarm is noted, not set. */
function withTimers(
  work: (parts: {
    timers: Timers;
    clock: { ms: number; alsoDueMs: number | undefined };
    alarms: number[];
    errors: unknown[];
    restart: () => Timers;
    transactions: Transactions;
    /** What the object runs later by itself, with its delays in ms, if it is not only the alarm that runs timers. */
    later: { work: () => void; delayMs: number }[];
    sql: SqlStorage;
  }) => void,
  runsSoon = false,
): Promise<void> {
  const { SESSION_AGENT } = bindings;
  return runInDurableObject(SESSION_AGENT.get(SESSION_AGENT.newUniqueId()), (_object, { storage }) => {
    upgradeSchema(storage, SESSION_MIGRATIONS);
    const clock = { ms: 1000, alsoDueMs: undefined as number | undefined };
    const alarms: number[] = [];
    const errors: unknown[] = [];
    const later: { work: () => void; delayMs: number }[] = [];
    const setAlarm = async (ms: number | Date) => {
      alarms.push(Number(ms));
    };
    const report = (error: unknown) => void errors.push(error);
    const hooks = { beforeCommit: () => {}, onCommit: () => {}, onRollback: () => {}, report };
    const transactions = new Transactions(storage, hooks);
    const restart = () =>
      new Timers({
        storage: { sql: storage.sql, setAlarm },
        now: () => clock.ms,
        transact: (run) => transactions.run(run),
        onRollback: (undo) => transactions.onRollback(undo),
        alsoDueMs: () => clock.alsoDueMs,
        report,
        ...(runsSoon && { later: (run: () => void, delayMs: number) => later.push({ work: run, delayMs }) }),
      });
    work({ timers: restart(), clock, alarms, errors, restart, later, transactions, sql: storage.sql });
  });
}

test("a timer that a rolled back transaction cleared is still set, and can be cleared", () =>
  withTimers(({ timers, transactions, sql }) => {
    timers.set("queue", 1200);
    const failing = () =>
      transactions.run(() => {
        timers.clear("queue");
        expect(timers.dueMs("queue")).toBeUndefined();
        throw new Error("rolled back");
      });
    expect(failing).toThrow("rolled back");
    expect(timers.dueMs("queue")).toBe(1200);
    timers.clear("queue");
    expect(sql.exec("SELECT * FROM timers").toArray()).toEqual([]);
  }));

test("due timers run once, in order, with their payload; the others wait", () =>
  withTimers(({ timers, clock, alarms }) => {
    const ran: string[] = [];
    timers.handle({ stuck: (key, payload) => ran.push(`a ${key} ${payload}`) });
    timers.handle({ queue: () => ran.push("b") });
    timers.set("queue", 1200);
    timers.set("stuck", 1100, { key: "x", payload: "p" });
    timers.set("stuck", 3000, { key: "y" });
    timers.arm();
    clock.ms = 1300;
    timers.fire();
    timers.fire();
    expect(ran).toEqual(["a x p", "b"]);
    expect(alarms).toEqual([1100, 3000, 3000]);
    expect(timers.dueMs("stuck", "y")).toBe(3000);
  }));

test("a timer that is set again is moved; one that is cleared is gone", () =>
  withTimers(({ timers, clock }) => {
    const ran: string[] = [];
    timers.handle({ stuck: (key) => ran.push(key) });
    timers.set("stuck", 1100, { key: "moved" });
    timers.set("stuck", 5000, { key: "moved" });
    timers.set("stuck", 1100, { key: "cleared" });
    timers.clear("stuck", "cleared");
    clock.ms = 1200;
    timers.fire();
    expect(ran).toEqual([]);
  }));

test("timers survive the object", () =>
  withTimers(({ timers, clock, restart }) => {
    const ran: string[] = [];
    timers.set("stuck", 1100);
    const next = restart();
    next.handle({ stuck: () => ran.push("a") });
    clock.ms = 1100;
    next.fire();
    expect(ran).toEqual(["a"]);
  }));

test("the alarm is set for the earliest timer and not written again for a later one", () =>
  withTimers(({ timers, clock, alarms }) => {
    timers.arm();
    expect(alarms).toEqual([]);
    timers.set("stuck", 2000);
    timers.arm();
    timers.set("stuck", 3000);
    timers.arm();
    expect(alarms).toEqual([2000]);
    clock.alsoDueMs = 1500;
    timers.arm();
    expect(alarms).toEqual([2000, 1500]);
    clock.alsoDueMs = 0;
    timers.arm();
    expect(alarms).toEqual([2000, 1500, clock.ms]);
  }));

test("a timer that is due soon needs no alarm of its own: the object runs it, and the alarm behind it only after a death", () =>
  withTimers(({ timers, clock, alarms, later, restart }) => {
    const ran: string[] = [];
    const handlers = { projection: () => ran.push("a"), accept: () => ran.push("b") };
    timers.handle(handlers);
    timers.set("projection", clock.ms + 200);
    timers.arm();
    expect([alarms, later.map(({ delayMs }) => delayMs)]).toEqual([[clock.ms + 5200], [200]]);
    clock.ms += 200;
    later.shift()?.work();
    expect(ran).toEqual(["a"]);
    // Another one within the next seconds costs no alarm.
    timers.set("projection", clock.ms + 200);
    timers.arm();
    expect([alarms.length, later.length]).toEqual([1, 1]);
    // The object dies, and the alarm starts it again.
    clock.ms += 5000;
    const next = restart();
    next.handle(handlers);
    next.fire();
    expect(ran).toEqual(["a", "a"]);
  }, true));

test("after timers that were due soon the alarm is set for the next one", () =>
  withTimers(({ timers, clock, alarms, later }) => {
    const ran: string[] = [];
    timers.handle({ projection: () => ran.push("a"), accept: () => ran.push("b"), collect: () => ran.push("c") });
    timers.set("projection", clock.ms + 300);
    timers.arm();
    timers.set("accept", clock.ms + 3000);
    timers.set("collect", clock.ms + 100);
    timers.arm();
    expect(later.map(({ delayMs }) => delayMs)).toEqual([300, 100]);
    timers.clear("collect");
    const [first, second] = later.splice(0);
    clock.ms += 100;
    second?.work();
    expect(ran).toEqual([]);
    clock.ms += 200;
    first?.work();
    for (const { work } of later.splice(0)) work();
    expect(ran).toEqual(["a"]);
    expect(alarms.at(-1)).toBe(clock.ms - 300 + 3000);
    expect(later).toEqual([]);
  }, true));

test("a storage that fails where a timer is due soon leaves it to the alarm", () =>
  withTimers(({ timers, clock, alarms, later, errors, sql }) => {
    timers.handle({ projection: () => {} });
    timers.set("projection", clock.ms + 200);
    timers.arm();
    clock.ms += 200;
    sql.exec("ALTER TABLE timers RENAME TO away");
    later.shift()?.work();
    sql.exec("ALTER TABLE away RENAME TO timers");
    expect([errors.length, alarms.at(-1)]).toEqual([1, clock.ms + 5000]);
    timers.fire();
    expect(timers.dueMs("projection")).toBeUndefined();
  }, true));

test("a handler that fails is rolled back and retried later, and does not stop the others", () =>
  withTimers(({ timers, clock, errors }) => {
    const ran: string[] = [];
    timers.handle({
      abort: () => {
        timers.set("sleep", 1);
        throw new Error("no");
      },
    });
    timers.handle({ check: () => ran.push("good") });
    timers.set("abort", 1100);
    timers.set("check", 1101);
    clock.ms = 1200;
    timers.fire();
    expect(ran).toEqual(["good"]);
    expect(errors).toHaveLength(1);
    expect(timers.dueMs("sleep")).toBeUndefined();
    expect(timers.dueMs("abort")).toBeGreaterThan(clock.ms);
  }));

test("a handler that fails is retried with its key and its payload", () =>
  withTimers(({ timers, clock, errors }) => {
    const ran: string[] = [];
    timers.handle({
      stuck: (key, payload) => {
        ran.push(`${key} ${payload}`);
        if (ran.length === 1) throw new Error("no");
      },
    });
    timers.set("stuck", 1100, { key: "x", payload: "p" });
    clock.ms = 1200;
    timers.fire();
    clock.ms = timers.dueMs("stuck", "x") ?? 0;
    timers.fire();
    expect([ran, errors.length]).toEqual([["x p", "x p"], 1]);
  }));

test("a handler may set its own timer again, and clear another due one", () =>
  withTimers(({ timers, clock }) => {
    const ran: string[] = [];
    timers.handle({
      start: () => {
        timers.set("start", 9000);
        timers.clear("stop");
      },
    });
    timers.handle({ stop: () => ran.push("second") });
    timers.set("start", 1100);
    timers.set("stop", 1101);
    clock.ms = 1200;
    timers.fire();
    expect(ran).toEqual([]);
    expect(timers.dueMs("start")).toBe(9000);
  }));

test("a stored timer of a kind that no version handles any more is dropped when it is due", () =>
  withTimers(({ timers, clock, errors, sql }) => {
    sql.exec("INSERT INTO timers VALUES ('of an earlier version', '', 1100, '')");
    clock.ms = 1200;
    timers.fire();
    expect(sql.exec("SELECT kind FROM timers").toArray()).toEqual([]);
    expect(errors).toEqual([]);
  }));

test("handlers of a session do not compile where a kind has none, or where one has no kind", () => {
  // @ts-expect-error the other kinds have none
  const some = { queue: () => {} } satisfies TimerHandlers;
  // @ts-expect-error there is no such kind
  const other = { nonsense: () => {} } satisfies Partial<TimerHandlers>;
  expect([some, other]).toHaveLength(2);
});
