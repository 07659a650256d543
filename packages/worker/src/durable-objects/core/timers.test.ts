import { runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { Timers } from "./timers.ts";

/** Timers of an object of their own, on a clock that the test sets. The alarm is noted, not set. */
function withTimers(
  work: (parts: {
    timers: Timers;
    clock: { ms: number; alsoDueMs: number | undefined };
    alarms: number[];
    errors: unknown[];
    restart: () => Timers;
  }) => void,
): Promise<void> {
  const { SESSION_AGENT } = bindings;
  return runInDurableObject(SESSION_AGENT.get(SESSION_AGENT.newUniqueId()), (_object, { storage }) => {
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
    work({ timers: restart(), clock, alarms, errors, restart });
  });
}

test("what is due runs in order, once, with its payload; the rest waits", () =>
  withTimers(({ timers, clock, alarms }) => {
    const ran: string[] = [];
    timers.handle("a", (key, payload) => ran.push(`a ${key} ${payload}`));
    timers.handle("b", () => ran.push("b"));
    timers.set("b", 1200);
    timers.set("a", 1100, { key: "x", payload: "p" });
    timers.set("a", 3000, { key: "y" });
    timers.arm();
    clock.ms = 1300;
    timers.fire();
    timers.fire();
    expect(ran).toEqual(["a x p", "b"]);
    expect(alarms).toEqual([1100, 3000, 3000]);
    expect(timers.dueMs("a", "y")).toBe(3000);
  }));

test("a timer that is set again is moved; one that is cleared is gone", () =>
  withTimers(({ timers, clock }) => {
    const ran: string[] = [];
    timers.handle("a", (key) => ran.push(key));
    timers.set("a", 1100, { key: "moved" });
    timers.set("a", 5000, { key: "moved" });
    timers.set("a", 1100, { key: "cleared" });
    timers.clear("a", "cleared");
    clock.ms = 1200;
    timers.fire();
    expect(ran).toEqual([]);
  }));

test("timers outlive the object", () =>
  withTimers(({ timers, clock, restart }) => {
    const ran: string[] = [];
    timers.set("a", 1100);
    const next = restart();
    next.handle("a", () => ran.push("a"));
    clock.ms = 1100;
    next.fire();
    expect(ran).toEqual(["a"]);
  }));

test("the alarm is set for the earliest and not written again for what is later", () =>
  withTimers(({ timers, clock, alarms }) => {
    timers.arm();
    expect(alarms).toEqual([]);
    timers.set("a", 2000);
    timers.arm();
    timers.set("a", 3000);
    timers.arm();
    expect(alarms).toEqual([2000]);
    clock.alsoDueMs = 1500;
    timers.arm();
    expect(alarms).toEqual([2000, 1500]);
    clock.alsoDueMs = 0;
    timers.arm();
    expect(alarms).toEqual([2000, 1500, clock.ms]);
  }));

test("a handler that fails is rolled back, comes again later, and keeps no other from running", () =>
  withTimers(({ timers, clock, errors }) => {
    const ran: string[] = [];
    timers.handle("bad", () => {
      timers.set("never", 1);
      throw new Error("no");
    });
    timers.handle("good", () => ran.push("good"));
    timers.set("bad", 1100);
    timers.set("good", 1101);
    clock.ms = 1200;
    timers.fire();
    expect(ran).toEqual(["good"]);
    expect(errors).toHaveLength(1);
    expect(timers.dueMs("never")).toBeUndefined();
    expect(timers.dueMs("bad")).toBeGreaterThan(clock.ms);
  }));

test("a handler that fails comes again with its key and its payload", () =>
  withTimers(({ timers, clock, errors }) => {
    const ran: string[] = [];
    timers.handle("a", (key, payload) => {
      ran.push(`${key} ${payload}`);
      if (ran.length === 1) throw new Error("no");
    });
    timers.set("a", 1100, { key: "x", payload: "p" });
    clock.ms = 1200;
    timers.fire();
    clock.ms = timers.dueMs("a", "x") ?? 0;
    timers.fire();
    expect([ran, errors.length]).toEqual([["x p", "x p"], 1]);
  }));

test("a handler may set its own timer again, and clear another that is due", () =>
  withTimers(({ timers, clock }) => {
    const ran: string[] = [];
    timers.handle("first", () => {
      timers.set("first", 9000);
      timers.clear("second");
    });
    timers.handle("second", () => ran.push("second"));
    timers.set("first", 1100);
    timers.set("second", 1101);
    clock.ms = 1200;
    timers.fire();
    expect(ran).toEqual([]);
    expect(timers.dueMs("first")).toBe(9000);
  }));
