import { runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { SESSION_MIGRATIONS } from "../session-schema.ts";
import { upgradeSchema } from "./schema.ts";
import { type TimerHandlers, Timers } from "./timers.ts";

/** Timers of an object of their own, on a clock that the test sets. The alarm is noted, not set. */
function withTimers(
  work: (parts: {
    timers: Timers;
    clock: { ms: number; alsoDueMs: number | undefined };
    alarms: number[];
    errors: unknown[];
    restart: () => Timers;
    sql: SqlStorage;
  }) => void,
): Promise<void> {
  const { SESSION_AGENT } = bindings;
  return runInDurableObject(SESSION_AGENT.get(SESSION_AGENT.newUniqueId()), (_object, { storage }) => {
    upgradeSchema(storage, SESSION_MIGRATIONS);
    const clock = { ms: 1000, alsoDueMs: undefined as number | undefined };
    const alarms: number[] = [];
    const errors: unknown[] = [];
    const setAlarm = async (ms: number | Date) => {
      alarms.push(Number(ms));
    };
    const restart = () =>
      new Timers({
        storage: { sql: storage.sql, setAlarm },
        now: () => clock.ms,
        transact: (run) => storage.transactionSync(run),
        alsoDueMs: () => clock.alsoDueMs,
        report: (error) => errors.push(error),
      });
    work({ timers: restart(), clock, alarms, errors, restart, sql: storage.sql });
  });
}

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
