/** Property tests of the line and the leases, with reports that arrive twice, late or never. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CapacityLimits } from "../../config.ts";
import type { CapacityNeed, CapacityReport } from "./capacity-calls.ts";
import { LEASE_MS, MAX_MISSES, MISS_RETRY_MS, waitingLine } from "./capacity-rules.ts";
import { CapacityTable } from "./capacity-table.ts";

const START_MS = 1_000_000;

/** Sessions that report to one table as real ones do: numbered, and each about a generation. */
class World {
  readonly limits: CapacityLimits;
  readonly table: CapacityTable;
  readonly reports = new Map<string, CapacityReport>();
  readonly sent: CapacityReport[] = [];
  nowMs = START_MS;

  constructor(limits: CapacityLimits) {
    this.limits = limits;
    this.table = new CapacityTable([], limits);
  }

  needOf(id: string): CapacityNeed {
    return this.reports.get(id)?.need ?? "none";
  }

  isGranted(id: string): boolean {
    return this.table.standing(id)?.granted === true;
  }

  say(id: string, need: CapacityNeed, refusals = 0, keepsSlot = false) {
    const before = this.reports.get(id) ?? { version: 0, generation: 0, need: "none" };
    const isNew = need === "start" && (before.need !== "start" || refusals > 0);
    const report: CapacityReport = {
      sessionId: id,
      need,
      refusals,
      keepsSlot,
      version: before.version + 1,
      generation: before.generation + (isNew ? 1 : 0),
    };
    this.reports.set(id, report);
    this.sent.push(report);
    return this.table.report(report, this.nowMs);
  }

  get line(): string[] {
    return waitingLine(this.table.entries).map(({ sessionId }) => sessionId);
  }

  get counts() {
    const { entries } = this.table;
    const count = (key: "isAwake" | "isStarting") => entries.filter((entry) => entry[key]).length;
    return { awake: count("isAwake"), starting: count("isStarting") };
  }
}

type Step =
  | { readonly do: "start" | "ready" | "sleep" | "wake" | "lose" | "end" | "refuse"; readonly id: string }
  | { readonly do: "late"; readonly nth: number }
  | { readonly do: "twice" }
  | { readonly do: "pass"; readonly ms: number };

const ids = ["a", "b", "c", "d", "e", "f", "g"];
const anyId = fc.constantFrom(...ids);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("start" as const), id: anyId }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(...(["ready", "sleep", "wake", "lose", "end", "refuse"] as const)),
      id: anyId,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("late" as const), nth: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.constant({ do: "twice" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.nat(40_000) }) },
);
const anyLimits = fc.record({ awake: fc.integer({ min: 1, max: 4 }), starting: fc.integer({ min: 1, max: 3 }) });

/** Does a step if the protocol allows it; ignores it otherwise. */
function take(world: World, step: Step): void {
  const { table } = world;
  if (step.do === "pass") {
    world.nowMs += step.ms;
    table.grant(world.nowMs);
    return;
  }
  if (step.do === "late" || step.do === "twice") {
    const { sent } = world;
    const report = step.do === "late" ? sent[step.nth % Math.max(1, sent.length)] : sent.at(-1);
    if (report !== undefined) table.report(report, world.nowMs);
    return;
  }
  const need = world.needOf(step.id);
  const mayStart = need === "start" && world.isGranted(step.id);
  if (step.do === "start" && need === "none") world.say(step.id, "start");
  else if (step.do === "ready" && mayStart) world.say(step.id, "awake");
  else if (step.do === "refuse" && mayStart) {
    world.say(step.id, "start", (world.reports.get(step.id)?.refusals ?? 0) + 1);
  } else if (step.do === "sleep" && need === "awake") world.say(step.id, "none");
  else if (step.do === "lose" && need === "awake") world.say(step.id, "start", 0, true);
  else if (step.do === "wake" && need === "awake") world.say(step.id, "start");
  else if (step.do === "end" && need !== "none") world.say(step.id, "none");
}

const anyCourse = fc.tuple(anyLimits, fc.array(anyStep, { maxLength: 60 }));

describe("whatever sessions report", () => {
  test("there are never more leases than slots", () => {
    fc.assert(
      fc.property(anyCourse, ([limits, steps]) => {
        const world = new World(limits);
        for (const step of steps) {
          take(world, step);
          const { awake, starting } = world.counts;
          expect(awake).toBeLessThanOrEqual(limits.awake);
          expect(starting).toBeLessThanOrEqual(limits.starting);
        }
      }),
    );
  });

  test("no session passes an earlier one with the same need, and no place grows", () => {
    fc.assert(
      fc.property(anyCourse, ([limits, steps]) => {
        const world = new World(limits);
        for (const step of steps) {
          const before = waitingLine(world.table.entries);
          take(world, step);
          const after = new Map(world.table.entries.map((entry) => [entry.sessionId, entry]));
          const now = before.flatMap((was, place) => {
            const is = after.get(was.sessionId);
            return is?.seq === was.seq ? [{ is, place, wantsAll: !was.isAwake }] : [];
          });
          const started = now.filter(({ is, wantsAll }) => is.isStarting && wantsAll);
          const waits = now.filter(({ is, wantsAll }) => !is.isStarting && wantsAll);
          for (const { place } of started) {
            expect(waits.every((other) => other.place > place)).toBe(true);
          }
          // A refused start returns to its position, which is before those that came later.
          if (step.do === "refuse") continue;
          const line = world.line;
          for (const { is, place } of now) expect(line.indexOf(is.sessionId)).toBeLessThanOrEqual(place);
        }
      }),
    );
  });

  test("a slot is never idle while the head of the line could have it", () => {
    fc.assert(
      fc.property(anyCourse, ([limits, steps]) => {
        const world = new World(limits);
        for (const step of steps) {
          take(world, step);
          const { awake, starting } = world.counts;
          const [head] = waitingLine(world.table.entries).filter(({ isAwake }) => !isAwake);
          const isPaused = (head?.notBeforeMs ?? 0) > world.nowMs;
          expect(head === undefined || isPaused || awake >= limits.awake || starting >= limits.starting).toBe(true);
        }
      }),
    );
  });

  test("every session in line gets its turn if those before it proceed", () => {
    fc.assert(
      fc.property(anyCourse, ([limits, steps]) => {
        const world = new World(limits);
        for (const step of steps) take(world, step);
        const waiting = new Set(world.line);
        // Each round every starting session becomes ready, and every awake session hibernates.
        const recordStarts = () => {
          for (const id of waiting) if (world.isGranted(id)) waiting.delete(id);
        };
        for (let round = 0; round < 3 * ids.length && waiting.size > 0; round++) {
          take(world, { do: "pass", ms: 60_000 });
          for (const id of ids) {
            for (const step of ["ready", "sleep"] as const) {
              recordStarts();
              take(world, { do: step, id });
            }
          }
          recordStarts();
        }
        expect([...waiting]).toEqual([]);
      }),
    );
  });

  test("a repeated or late report only renews the lease", () => {
    fc.assert(
      fc.property(anyCourse, fc.nat(100), ([limits, steps], nth) => {
        const world = new World(limits);
        for (const step of steps) take(world, step);
        const known = () => world.table.entries.map(({ expiresMs: _time, misses: _misses, ...entry }) => entry);
        const before = known();
        const report = world.sent[nth % Math.max(1, world.sent.length)];
        if (report !== undefined) world.table.report(report, world.nowMs);
        expect(known()).toEqual(before);
      }),
    );
  });

  test("every session learns its standing", () => {
    fc.assert(
      fc.property(anyCourse, ([limits, steps]) => {
        const world = new World(limits);
        for (const step of steps) take(world, step);
        const starting = ids.filter((id) => world.needOf(id) === "start");
        const standings = world.table.startStandings();
        expect([...standings.keys()].sort()).toEqual(starting);
        for (const id of starting) expect(standings.get(id)).toEqual(world.table.standing(id));
      }),
    );
  });

  test("the stored entries are sufficient to continue", () => {
    fc.assert(
      fc.property(anyCourse, ([limits, steps]) => {
        const world = new World(limits);
        const stored = new Map<string, string>();
        for (const step of steps) {
          take(world, step);
          for (const [id, entry] of world.table.takeChanged()) {
            if (entry === undefined) stored.delete(id);
            else stored.set(id, JSON.stringify(entry));
          }
        }
        const again = new CapacityTable(
          [...stored.values()].map((text) => JSON.parse(text)),
          limits,
        );
        const byId = (table: CapacityTable) => new Map(table.entries.map((entry) => [entry.sessionId, entry]));
        expect(byId(again)).toEqual(byId(world.table));
      }),
    );
  });
});

describe("what a session waits for", () => {
  const waiting = (world: World) => {
    world.say("waits", "start");
    return world.table.shortageOf("waits");
  };

  test("is a slot among the awake, which those have that are awake or start", () => {
    const world = new World({ awake: 2, starting: 1 });
    for (const need of ["start", "awake"] as const) world.say("awake", need);
    world.say("starts", "start");
    expect(waiting(world)).toEqual({ limit: "awake", sessionIds: ["awake", "starts"] });
    expect(world.table.shortageOf("awake")).toBeUndefined();
    expect(world.table.shortageOf("unknown")).toBeUndefined();
  });

  test("is a slot among those that start", () => {
    const world = new World({ awake: 9, starting: 1 });
    for (const need of ["start", "awake"] as const) world.say("awake", need);
    world.say("starts", "start");
    expect(waiting(world)).toEqual({ limit: "starting", sessionIds: ["starts"] });
  });

  test("is the broker's room, if that refused the start", () => {
    const world = new World({ awake: Infinity, starting: Infinity });
    for (const need of ["start", "awake"] as const) world.say("awake", need);
    world.say("waits", "start");
    world.say("waits", "start", 1);
    expect(world.table.shortageOf("waits")).toEqual({ limit: "broker", sessionIds: ["awake"] });
  });
});

describe("a holder", () => {
  const expire = (world: World) => {
    for (let asked = 0; asked <= MAX_MISSES; asked++) {
      world.nowMs += asked === 0 ? LEASE_MS : MISS_RETRY_MS;
      world.table.takeExpired(world.nowMs);
    }
  };

  test("that died loses its lease after several unanswered questions, and the next in line gets it", () => {
    const world = new World({ awake: 1, starting: 1 });
    world.say("a", "start");
    world.say("a", "awake");
    expect(world.say("b", "start")).toEqual({ generation: 1, granted: false, place: 1 });
    world.nowMs += LEASE_MS - 1;
    expect(world.table.takeExpired(world.nowMs).map(({ sessionId }) => sessionId)).toEqual(["b"]);
    world.say("b", "start");
    world.nowMs += 1;
    expect(world.table.takeExpired(world.nowMs).map(({ sessionId }) => sessionId)).toEqual(["a"]);
    // The session keeps the slot until the last question.
    for (let asked = 1; asked < MAX_MISSES; asked++) {
      world.nowMs += MISS_RETRY_MS;
      world.table.takeExpired(world.nowMs);
      expect(world.isGranted("b")).toBe(false);
    }
    world.nowMs += MISS_RETRY_MS;
    world.table.takeExpired(world.nowMs);
    expect(world.isGranted("b")).toBe(true);
  });

  test("that is alive keeps its lease", () => {
    const world = new World({ awake: 1, starting: 1 });
    world.say("a", "start");
    world.say("a", "awake");
    world.say("b", "start");
    world.nowMs += LEASE_MS;
    world.table.takeExpired(world.nowMs);
    world.table.report(world.reports.get("a") as CapacityReport, world.nowMs);
    world.nowMs += MISS_RETRY_MS * (MAX_MISSES + 1);
    world.table.takeExpired(world.nowMs);
    expect(world.isGranted("b")).toBe(false);
  });

  test("that lost its lease but is alive counts again, and no other session starts in its place", () => {
    const world = new World({ awake: 1, starting: 1 });
    world.say("a", "start");
    world.say("a", "awake");
    expire(world);
    expect(world.counts.awake).toBe(0);
    world.table.report(world.reports.get("a") as CapacityReport, world.nowMs);
    expect(world.counts.awake).toBe(1);
    expect(world.say("b", "start")).toMatchObject({ granted: false, place: 1 });
  });

  test("that lost its sandbox keeps its slot, and passes those who wait for one", () => {
    const world = new World({ awake: 2, starting: 2 });
    for (const id of ["a", "b"]) {
      world.say(id, "start");
      world.say(id, "awake");
    }
    expect(world.say("c", "start")).toMatchObject({ place: 1 });
    expect(world.say("a", "start", 0, true)).toMatchObject({ granted: true });
    expect(world.counts.awake).toBe(2);
    expect(world.table.standing("c")).toMatchObject({ granted: false, place: 1 });
  });

  test("that wakes right after hibernating has lost its slot, and waits at the end of the line", () => {
    const world = new World({ awake: 1, starting: 1 });
    world.say("a", "start");
    world.say("a", "awake");
    world.say("b", "start");
    expect(world.say("a", "start")).toMatchObject({ granted: false, place: 1 });
    expect(world.isGranted("b")).toBe(true);
  });

  test("that the broker refused keeps its position, returns its slots, and is first when a sandbox ends", () => {
    const world = new World({ awake: Infinity, starting: Infinity });
    for (const id of ["a", "b"]) {
      world.say(id, "start");
      world.say(id, "awake");
    }
    world.say("c", "start");
    expect(world.say("c", "start", 1)).toMatchObject({ granted: false, place: 1 });
    expect(world.counts).toEqual({ awake: 2, starting: 0 });
    expect(world.say("d", "start")).toMatchObject({ granted: false, place: 2 });
    expect(world.table.shortage(0, world.nowMs)).toBe(2);
    expect(world.table.shortage(2, world.nowMs)).toBe(0);
    world.say("a", "none");
    expect(world.isGranted("c")).toBe(true);
    // One slot was returned, and the second start is tried too: the broker decides.
    expect(world.isGranted("d")).toBe(true);
  });

  test("that the broker refused is retried after a delay, even if no sandbox ends", () => {
    const world = new World({ awake: Infinity, starting: Infinity });
    world.say("c", "start");
    world.say("c", "start", 1);
    const dueMs = world.table.dueMs(world.nowMs) as number;
    expect(dueMs).toBe(world.nowMs + 2000);
    world.table.grant(dueMs - 1);
    expect(world.isGranted("c")).toBe(false);
    world.table.grant(dueMs);
    expect(world.isGranted("c")).toBe(true);
  });
});

describe("room is made", () => {
  test("for as many as may start at once, and not twice", () => {
    const world = new World({ awake: 3, starting: 2 });
    for (const id of ["a", "b", "c"]) {
      world.say(id, "start");
      world.say(id, "awake");
    }
    expect(world.table.shortage(0, world.nowMs)).toBe(0);
    for (const id of ["d", "e", "f"]) world.say(id, "start");
    expect(world.table.shortage(0, world.nowMs)).toBe(2);
    expect(world.table.shortage(1, world.nowMs)).toBe(1);
    world.say("a", "none");
    expect(world.line).toEqual(["e", "f"]);
  });
});
