import { SessionStatus } from "@valet/shared/protocol/session-view";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { StartFailures } from "../core/session-state.ts";
import { type SessionEvent, transition } from "../core/session-transitions.ts";
import { addFailure, nextRecovery, type SandboxLack } from "./lifecycle-rules.ts";

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

describe("the cause of a row of failed starts", () => {
  const away = { errorType: "broker_unreachable", stage: undefined, lack: "broker_away" } as const;
  const hung = { errorType: "broker_timeout", stage: "requested", lack: "broker_away" } as const;
  const clone = { errorType: "git_clone_failed", stage: "git_setup", lack: "start_failed" } as const;
  const died = {
    errorType: "entrypoint_failed",
    stage: "created",
    logLine: "no such image",
    lack: "start_failed",
  } as const;
  type Failed = Parameters<typeof addFailure>[1];
  const row = (...failed: Failed[]) => failed.reduce<StartFailures | undefined>(addFailure, undefined);

  test.each<[string, readonly Failed[], Failed]>([
    ["the first", [clone, died], clone],
    ["the first of several absences of the broker", [away, hung, away], away],
    ["what failed once the broker was back", [away, away, died], died],
    ["that, also if the broker is away again", [away, died, away, clone], died],
    ["the first, if the broker is away later", [clone, away], clone],
  ])("is %s", (_which, failed, { lack: _lack, ...cause }) => {
    expect(row(...failed)).toMatchObject({ ...cause, count: failed.length });
  });

  test("is the first that was no absence of the broker, else the first, with its own details", () => {
    const kinds = fc.constantFrom<Failed>(away, hung, clone, died);
    fc.assert(
      fc.property(fc.array(kinds, { minLength: 1 }), (failed) => {
        const isAway = ({ lack }: { readonly lack: SandboxLack }) => lack === "broker_away";
        const { lack: _lack, ...cause } = failed.find((each) => !isAway(each)) ?? (failed[0] as Failed);
        const { isBrokerAway = false, count, ...found } = row(...failed) as StartFailures;
        expect(found).toEqual(cause);
        expect([isBrokerAway, count]).toEqual([failed.every(isAway), failed.length]);
      }),
    );
  });

  test("of a row that an earlier version began is the first", () => {
    const before: StartFailures = { errorType: "broker_unreachable", stage: undefined, count: 1 };
    expect(addFailure(before, died)).toEqual({ ...before, count: 2 });
  });
});
