/** The order in which consequences are drawn, as the head of consequences.ts promises it, with stand-ins for the rooms. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { describe, expect, test } from "vitest";
import { Consequences, type ConsequencesOptions, type SessionEvent } from "./consequences.ts";
import { Changes } from "./core/changes.ts";
import { PendingEvents } from "./core/pending-events.ts";
import { Transactions } from "./core/transactions.ts";
import type { RunnerFrame } from "./link/link-event.ts";

const CONTEXT = { traceId: "7".repeat(32), spanId: "8".repeat(16), traceFlags: 1, traceState: "", isRemote: false };
const RUNNERS = { instances: ["run_1", "run_2"], instanceId: "run_2", lastSeenMs: 5 };

type Part = keyof ConsequencesOptions;
type NameOf<P extends Part> = `${P}.${keyof ConsequencesOptions[P] & string}`;
/** A method of a room. */
type Method = { [P in Part]: NameOf<P> }[Part];
/** A call of a room, with those of its arguments that are text or a boolean. */
type Call = Method | `${Method} ${string}` | "boundary";
/** Calls in their order. */
const inOrder = (...calls: Call[]): Call[] => calls;

/** Rooms that note how they are called, and do what the test says. */
class World {
  readonly log: Call[] = [];
  readonly events = new PendingEvents<SessionEvent>();
  readonly changes = new Changes();
  /** What a call does besides being noted, by its name. */
  readonly effects: { [M in Method]?: (...args: never[]) => unknown } = {};
  readonly transactions: Transactions;
  readonly consequences: Consequences;
  exists = true;

  constructor() {
    const { events, changes } = this;
    const transactions: Transactions = new Transactions(
      { transactionSync: (work) => work() },
      {
        beforeCommit: () => this.consequences.draw(),
        onCommit: () => {},
        onRollback: () => this.consequences.drop(),
        report: (error) => {
          throw error;
        },
      },
    );
    this.transactions = transactions;
    const world = this;
    const state = {
      get maybe() {
        return world.exists ? this.record : undefined;
      },
      record: { id: "ses_1" },
    };
    const rooms: Part[] = [
      ...(["queue", "workflows", "scheduler", "attempts", "watchdogs", "signs", "link", "runnerConfig"] as const),
      ...(["backgroundCheck", "lifecycle", "lease", "startTimes", "conversation", "output", "records"] as const),
      ...([
        "requests",
        "turnChanges",
        "children",
        "reports",
        "deletion",
        "traces",
        "runnerSpans",
        "outbox",
        "clients",
      ] as const),
    ];
    const parts = Object.fromEntries(rooms.map((room) => [room, this.#noting(room)]));
    this.consequences = new Consequences({
      ...parts,
      events,
      changes,
      transactions,
      state,
      view: () => ({ status: "running" }),
      boundary: () => void this.log.push("boundary"),
    } as unknown as ConsequencesOptions);
  }

  /** Records events, in a transaction. @returns what was called meanwhile, without what is always there */
  after(...events: SessionEvent[]): Call[] {
    this.log.length = 0;
    this.transactions.run(() => {
      for (const event of events) this.events.record(event);
    });
    const always: readonly Call[] = ["reports.recordDue", "lease.reportNeed", "deletion.advance"];
    return this.log.filter((call) => !always.includes(call));
  }

  /** A room that notes its calls, with what they are given as far as that is plain. */
  #noting(room: Part): unknown {
    return new Proxy(
      {},
      {
        get: (_target, name) => {
          const key = `${room}.${String(name)}` as Method;
          if (key === "clients.isEmpty") return false;
          if (key === "queue.jobs")
            return { job: (id: string) => ({ id, kind: id.startsWith("w") ? "workflow" : "message" }) };
          return (...args: unknown[]) => {
            const plain = args.filter((arg) => typeof arg === "string" || typeof arg === "boolean");
            this.log.push([key, ...plain].join(" ") as Call);
            return (this.effects[key] as ((...given: unknown[]) => unknown) | undefined)?.(...args);
          };
        },
      },
    );
  }
}

const granted: SessionEvent = { type: "turn-granted" };
const hibernating: SessionEvent = { type: "hibernating" };
const steered: SessionEvent = { type: "steered", channel: "main", asker: { userId: "bob", context: CONTEXT } };

describe("events", () => {
  test("are followed in the order in which they happened", () => {
    expect(new World().after(hibernating, granted, steered)).toEqual(
      inOrder("queue.closeBatches", "lifecycle.onTurn", "attempts.stop steered main"),
    );
  });

  test("that one leads to come after those that are there, and after those that it led to before", () => {
    const world = new World();
    world.effects["queue.closeBatches"] = () => {
      world.events.record(steered);
      world.events.record({ type: "parent-waits", messageId: "m1" });
    };
    expect(world.after(hibernating, granted)).toEqual(
      inOrder("queue.closeBatches", "lifecycle.onTurn", "attempts.stop steered main", "reports.expect m1"),
    );
  });

  test("lead to nothing in a session that has not been created", () => {
    const world = new World();
    world.exists = false;
    expect(world.after(hibernating)).toEqual([]);
  });
});

describe("the scheduler", () => {
  test("runs when no event is left and something has moved; its events are handled before it runs again", () => {
    const world = new World();
    world.effects["queue.closeBatches"] = () => world.changes.session();
    let pumps = 0;
    world.effects["scheduler.pump"] = () => {
      if (pumps++ > 0) return;
      world.events.record(steered);
      world.changes.session();
    };
    const calls = world.after(hibernating, granted);
    expect(calls.slice(0, 5)).toEqual(
      inOrder(
        "queue.closeBatches",
        "lifecycle.onTurn",
        "scheduler.pump",
        "attempts.stop steered main",
        "scheduler.pump",
      ),
    );
    expect(pumps).toBe(2);
  });

  test("does not run if nothing moved", () => {
    expect(new World().after(hibernating)).not.toContain<Call>("scheduler.pump");
  });

  test("is asked a bounded number of times, should it move without end", () => {
    const world = new World();
    world.effects["scheduler.pump"] = () => {
      world.events.record(granted);
      world.changes.session();
    };
    world.changes.session();
    const calls = world.after();
    expect(calls.filter((call) => call === "scheduler.pump")).toHaveLength(8);
    expect(calls.filter((call) => call === "lifecycle.onTurn")).toHaveLength(8);
  });
});

describe("at the end", () => {
  test("reports run once, then the outbox to D1; clients receive events after the commit", () => {
    const world = new World();
    world.effects["queue.closeBatches"] = () => {
      world.changes.job("m1");
      world.changes.job("w1");
    };
    const committed: Call[] = [];
    world.transactions.run(() => {
      world.events.record(hibernating);
      world.transactions.afterCommit(() => committed.push(...world.log));
    });
    expect(committed).toEqual(
      inOrder(
        "queue.closeBatches",
        "scheduler.pump",
        "reports.recordDue",
        "lease.reportNeed",
        "outbox.sessionChanged",
        "deletion.advance",
      ),
    );
    expect(world.log.slice(committed.length)).toEqual(
      inOrder("conversation.view", "clients.broadcast", "workflows.view", "clients.broadcast", "clients.broadcast"),
    );
  });

  test("changes by the reports and the lease are published, too", () => {
    const world = new World();
    world.effects["lease.reportNeed"] = () => world.changes.session();
    expect(world.after()).toContain<Call>("outbox.sessionChanged");
  });
});

describe("a transaction that is rolled back", () => {
  test("leaves neither events nor changes to the next", () => {
    const world = new World();
    const work = () =>
      world.transactions.run(() => {
        world.events.record(hibernating);
        world.changes.session();
        throw new Error("no");
      });
    expect(work).toThrow("no");
    expect(world.after(granted)).toEqual(inOrder("lifecycle.onTurn"));
  });

  test("by a consequence drops what was not followed yet", () => {
    const world = new World();
    world.effects["queue.closeBatches"] = () => {
      world.events.record(steered);
      throw new Error("no");
    };
    expect(() => world.after(hibernating, granted)).toThrow("no");
    expect(world.after()).toEqual([]);
  });
});

describe("what follows from an event", () => {
  const attempt = { id: "att_1", acceptedMs: 1 };
  const ended = (acceptedMs: number | null) =>
    ({ type: "attempt-ended", attempt: { ...attempt, acceptedMs }, jobs: [], end: { outcome: "ok" } }) as never;
  const hello = { type: "hello", instanceId: "run_1" } as FromRunnerOf<"hello">;
  const frame = (of: object): SessionEvent => ({ type: "frame", frame: of as RunnerFrame });
  const cases: Record<string, readonly [SessionEvent, readonly Call[]]> = {
    "an attempt that was a turn": [
      ended(1),
      [
        "watchdogs.clear att_1",
        "output.end att_1",
        "children.attemptEnded att_1",
        "requests.answerersOf att_1",
        "records.write",
        "outbox.addTurn",
        "clients.broadcast",
      ],
    ],
    "an attempt that the runner never took": [
      ended(null),
      ["watchdogs.clear att_1", "output.end att_1", "children.attemptEnded att_1"],
    ],
    "a message that steers": [steered, ["attempts.stop steered main"]],
    "a parent that waits": [{ type: "parent-waits", messageId: "m1" }, ["reports.expect m1"]],
    "what an attempt has come to": [
      { type: "progress", attemptId: "att_1", summary: {} as never },
      ["queue.storeProgress att_1"],
    ],
    "a hello: the configuration first": [
      { type: "hello", hello, isBack: true },
      ["runnerConfig.send", "attempts.onHello true", "lifecycle.onHello true"],
    ],
    "a frame about an attempt": [frame({ type: "working", attemptId: "att_1" }), ["attempts.onFrame"]],
    "a stage before secrets are taken": [frame({ type: "stage", stage: "connected" }), ["lifecycle.onStage"]],
    "a stage that secrets are taken for": [
      frame({ type: "stage", stage: "git_setup" }),
      ["link.recordSecretsKept", "lifecycle.onStage"],
    ],
    "a stage that failed: spans first": [
      frame({ type: "stage", stage: "failed" }),
      ["runnerSpans.flush", "lifecycle.onStage"],
    ],
    "a runner that has stopped: spans first": [
      frame({ type: "stopped" }),
      ["runnerSpans.flush", "lifecycle.onStopped"],
    ],
    "a runner of another protocol": [
      { type: "foreign-runner", protocols: { runner: 7, sessionAgent: 1 } },
      ["lifecycle.onForeign"],
    ],
    "a link that was closed: spans first, and the runner was heard": [
      { type: "link-down", instanceId: "run_1", isClosed: true },
      ["runnerSpans.flush", "traces.touch run_1", "attempts.onLinkDown", "lifecycle.onLinkDown"],
    ],
    "a link that was silent": [
      { type: "link-down", instanceId: "run_1", isClosed: false },
      ["runnerSpans.flush", "attempts.onLinkDown", "lifecycle.onLinkDown"],
    ],
    "a link that is gone": [{ type: "link-gone" }, ["lifecycle.onLinkGone"]],
    "a turn to start": [granted, ["lifecycle.onTurn"]],
    "a fresh generation": [{ type: "generation-began", isFresh: true }, ["conversation.forgetAgentSessions"]],
    "a generation from a snapshot": [{ type: "generation-began", isFresh: false }, []],
    "a generation that has ended: spans first, the queue before what was open is sealed": [
      { type: "generation-ended", keptFiles: true, runners: RUNNERS },
      [
        "runnerSpans.flush",
        "signs.lastOf",
        "queue.loseAll false",
        "traces.seal run_1 runner_lost",
        "traces.seal run_2 runner_lost",
      ],
    ],
    "runners that have ended in a sandbox that has not: the same": [
      { type: "runners-ended", runners: RUNNERS },
      [
        "runnerSpans.flush",
        "signs.lastOf",
        "queue.loseAll false",
        "traces.seal run_1 runner_lost",
        "traces.seal run_2 runner_lost",
      ],
    ],
    "a generation that has ended with its files": [
      { type: "generation-ended", keptFiles: false, runners: { instances: [] } },
      ["runnerSpans.flush", "signs.lastOf", "queue.loseAll true"],
    ],
    "a hibernate that begins": [hibernating, ["queue.closeBatches"]],
    "a session that is given up": [
      { type: "gave-up", errorType: "spawn_failed", failure: {} },
      ["attempts.endQueued error spawn_failed", "boundary"],
    ],
    "a session that ends: what is queued before what is under way": [
      { type: "terminating", asker: { context: CONTEXT } },
      ["attempts.endQueued aborted session_terminated", "attempts.stop session_terminated", "children.endAll"],
    ],
    "a session that sleeps": [{ type: "hibernated" }, ["boundary"]],
    "a session that has ended": [{ type: "terminated" }, ["deletion.onTerminated", "boundary"]],
  };
  test.each(Object.entries(cases))("%s", (_what, [event, expected]) => {
    expect(new World().after(event)).toEqual(expected);
  });

  test("another place in the line: the session shows it, and so does what waits", () => {
    const calls = new World().after({ type: "place-changed", place: 2 });
    expect(calls.slice(0, 3)).toEqual(inOrder("lifecycle.onPlace", "scheduler.onPlace", "scheduler.pump"));
    expect(calls).toContain<Call>("outbox.sessionChanged");
  });

  test("a shutdown is sent to the runner after the commit", () => {
    const world = new World();
    world.effects["lease.reportNeed"] = () => expect(world.log).not.toContain<Call>("link.send");
    expect(world.after({ type: "stop-runner", reason: "hibernate" })).toEqual(inOrder("link.send"));
  });
});
