import { SessionStatus } from "@valet/shared/protocol/session-view";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type SessionEvent, transition } from "../core/session-transitions.ts";
import { nextRecovery } from "./lifecycle-rules.ts";

const EVENTS: readonly SessionEvent[] = [
  ...(["spawn", "restore", "ready", "sandbox_lost", "start_failed", "give_up", "hibernate"] as const),
  ...(["stay_awake", "hibernated", "terminate", "terminated"] as const),
];

function follow(from: SessionStatus, ...events: SessionEvent[]): SessionStatus | undefined {
  return events.reduce<SessionStatus | undefined>((state, event) => state && transition(state, event), from);
}

describe("the states of a session", () => {
  test("a session is spawned, hibernates, wakes and ends", () => {
    expect(follow("created", "spawn", "ready", "hibernate", "hibernated", "restore", "ready")).toBe("running");
    expect(follow("running", "terminate", "terminated")).toBe("terminated");
  });

  test("a session that loses its sandbox is spawned or restored again, or given up", () => {
    expect(follow("running", "sandbox_lost", "spawn", "start_failed", "restore", "ready")).toBe("running");
    expect(follow("running", "sandbox_lost", "give_up", "spawn")).toBe("starting");
  });

  test("terminate is legal in every state but the last", () => {
    for (const state of SessionStatus.options) {
      const isOver = state === "terminating" || state === "terminated";
      expect(follow(state, "terminate", "terminated")).toBe(isOver ? undefined : "terminated");
    }
  });

  test.each<[SessionStatus, SessionEvent]>([
    ["created", "hibernate"],
    ["starting", "hibernate"],
    ["hibernated", "hibernate"],
    ["hibernated", "spawn"],
    ["running", "spawn"],
    ["restoring", "restore"],
    ["hibernating", "sandbox_lost"],
    ["terminating", "ready"],
  ])("%s refuses %s", (state, event) => {
    expect(transition(state, event)).toBeUndefined();
  });

  test("no transition leads out of terminated", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...EVENTS)), (events) => {
        let state: SessionStatus = "created";
        for (const event of events) {
          const next: SessionStatus = transition(state, event) ?? state;
          if (state === "terminated") expect(next).toBe("terminated");
          state = next;
        }
      }),
    );
  });
});

describe("recovery", () => {
  const rules = { maxAttempts: 3, backoffMs: 100, heldMs: 1000 };
  const HELD = 5000;

  test("a session whose runner was never ready has nothing to recover", () => {
    expect(nextRecovery({ attempts: 0, readyMs: 0 }, rules, 10, "start_failed")).toBeUndefined();
    expect(nextRecovery({ attempts: 1, readyMs: 0 }, rules, 10, "start_failed")).toBeUndefined();
  });

  test("a first start that only lacks the broker is retried after a wait that doubles, as often as any other", () => {
    const delays = [0, 1, 2, 3].map((attempts) => nextRecovery({ attempts, readyMs: 0 }, rules, 10, "broker_away"));
    expect(delays.map((next) => next?.delayMs)).toEqual([100, 200, 400, undefined]);
  });

  test("a lost sandbox is replaced at once, a failed start is retried after a wait that doubles", () => {
    const readyMs = 1;
    expect(nextRecovery({ attempts: 0, readyMs }, rules, HELD, "lost")).toEqual({ attempt: 1, delayMs: 0 });
    expect(nextRecovery({ attempts: 1, readyMs }, rules, HELD, "start_failed")).toEqual({ attempt: 2, delayMs: 200 });
    expect(nextRecovery({ attempts: 2, readyMs }, rules, HELD, "start_failed")).toEqual({ attempt: 3, delayMs: 400 });
    expect(nextRecovery({ attempts: 3, readyMs }, rules, HELD, "start_failed")).toBeUndefined();
  });

  test("a sandbox that was ready for a while resets the attempts, one that died at once does not", () => {
    const record = { attempts: 3, readyMs: 1000 };
    expect(nextRecovery(record, rules, 1000 + rules.heldMs, "lost")).toEqual({ attempt: 1, delayMs: 0 });
    expect(nextRecovery(record, rules, 999 + rules.heldMs, "lost")).toBeUndefined();
  });
});
