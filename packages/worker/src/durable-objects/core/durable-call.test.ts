import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { type DurableCall, type DurableCallRules, DurableCalls } from "./durable-call.ts";
import { Timers } from "./timers.ts";
import { Transactions } from "./transactions.ts";

const RETRY_MS = 1000;
const TIMEOUT_MS = 30_000;
const LONGEST_MS = 8000;

type Rules = Partial<Pick<DurableCallRules<number, string>, "delivers" | "gatherMs" | "maxTries" | "waitsMs">>;

/** A try that the callee has received. */
interface Heard extends DurableCall<number> {
  /** "ok" acknowledges it, "retry" does not, "throw" makes what follows from it fail. */
  answer(answer: "ok" | "retry" | "throw"): Promise<void>;
  fail(): Promise<void>;
}

/** An object that makes calls, the callee, and a clock. */
class World {
  nowMs = 1000;
  /** 0.5 is no jitter. */
  random = 0.5;
  calls!: DurableCalls<number, string>;
  timers!: Timers;
  transactions!: Transactions;
  readonly heard: Heard[] = [];
  /** What followed from an acknowledgement, or from giving up: written in the transaction that removes the row. */
  readonly reported: unknown[] = [];
  readonly #storage: DurableObjectStorage;
  readonly #rules: Rules;

  constructor(storage: DurableObjectStorage, rules: Rules) {
    this.#storage = storage;
    this.#rules = rules;
    storage.sql.exec("DELETE FROM durable_calls; DELETE FROM timers; CREATE TABLE IF NOT EXISTS done (what TEXT)");
    storage.sql.exec("DELETE FROM done");
    this.live();
  }

  /** Restarts the object. Its running calls are lost. */
  live(): void {
    const report = (error: unknown) => void this.reported.push(error);
    const life = {};
    this.#life = life;
    this.transactions = new Transactions(this.#storage, {
      beforeCommit: () => {},
      onCommit: () => {},
      onRollback: () => {},
      report,
    });
    const { transactions } = this;
    this.timers = new Timers({
      storage: { sql: this.#storage.sql, setAlarm: async () => {} },
      now: () => this.nowMs,
      report,
      transact: (work) => transactions.run(work),
      onRollback: (undo) => transactions.onRollback(undo),
      alsoDueMs: () => undefined,
    });
    this.calls = new DurableCalls<number, string>(
      "orphan",
      {
        sql: this.#storage.sql,
        timers: this.timers,
        transactions,
        now: () => this.nowMs,
        retryMs: RETRY_MS,
        random: () => this.random,
        background: () => {},
        report,
      },
      {
        delivers: "all",
        timeoutMs: TIMEOUT_MS,
        longestWaitMs: LONGEST_MS,
        ...this.#rules,
        call: (call) => {
          const { promise, resolve, reject } = Promise.withResolvers<string>();
          const end = async (work: () => void) => {
            if (this.#life === life) work();
            // What follows from an answer has happened after a few microtasks.
            for (let task = 0; task < 10; task++) await undefined;
          };
          this.heard.push({
            ...call,
            answer: (answer) => end(() => resolve(answer)),
            fail: () => end(() => reject(new Error("away"))),
          });
          return promise;
        },
        settle: (answer, { payload }) => {
          this.#storage.sql.exec("INSERT INTO done VALUES (?)", `ok ${payload}`);
          if (answer === "throw") throw new Error("what follows fails");
          if (answer === "ok") return "done";
          this.#storage.sql.exec("DELETE FROM done WHERE what = ?", `ok ${payload}`);
          return "retry";
        },
        giveUp: ({ payload }) => void this.#storage.sql.exec("INSERT INTO done VALUES (?)", `gave up ${payload}`),
      },
    );
    this.timers.handle({ orphan: this.calls.onTimer });
    transactions.run(() => this.calls.resume());
  }

  #life = {};

  add(key: string, payload: number, delayMs?: number): void {
    this.transactions.run(() => this.calls.add(key, payload, delayMs));
  }

  /** Time passes, and the alarm comes. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.timers.fire();
  }

  /** In how many ms the next try of a key is due. */
  dueIn(key = "k"): number | undefined {
    const dueMs = this.timers.dueMs("orphan", key);
    return dueMs && dueMs - this.nowMs;
  }

  get last(): Heard {
    return this.heard.at(-1) as Heard;
  }

  get payloads(): number[] {
    return this.heard.map(({ payload }) => payload);
  }

  get done(): string[] {
    return this.#storage.sql
      .exec("SELECT what FROM done ORDER BY rowid")
      .toArray()
      .map(({ what }) => what as string);
  }

  get isEmpty(): boolean {
    const { sql } = this.#storage;
    const rows = sql.exec("SELECT 1 FROM durable_calls UNION ALL SELECT 1 FROM timers").toArray();
    return rows.length === 0;
  }
}

const inWorld = (work: (world: World) => void | Promise<void>, rules: Rules = {}) =>
  inStorage((storage) => work(new World(storage, rules)));

describe("a call", () => {
  test("is made after the commit, and removed with its acknowledgement", () =>
    inWorld(async (world) => {
      world.transactions.run(() => {
        world.calls.add("k", 1);
        expect(world.heard).toEqual([]);
      });
      expect(world.heard).toMatchObject([{ key: "k", payload: 1, tries: 1 }]);
      expect(world.calls.waiting()).toEqual([{ key: "k", payload: 1 }]);
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
      expect(world.calls.has("k")).toBe(false);
      expect(world.isEmpty).toBe(true);
    }));

  test("of a transaction that is rolled back is never made", () =>
    inWorld((world) => {
      const failing = () =>
        world.transactions.run(() => {
          world.calls.add("k", 1);
          throw new Error("no");
        });
      expect(failing).toThrow("no");
      world.pass(TIMEOUT_MS);
      expect(world.heard).toEqual([]);
      expect(world.isEmpty).toBe(true);
    }));

  test("that fails, or is not acknowledged, is retried with a wait that doubles up to the longest", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      const waits: unknown[] = [];
      for (let tries = 1; tries <= 6; tries++) {
        await (tries % 2 === 0 ? world.last.fail() : world.last.answer("retry"));
        waits.push(world.dueIn());
        world.pass((world.dueIn() ?? 0) - 1);
        expect(world.heard).toHaveLength(tries);
        world.pass(1);
        expect(world.last.tries).toBe(tries + 1);
      }
      expect(waits).toEqual([1000, 2000, 4000, 8000, 8000, 8000]);
      expect(world.reported).toHaveLength(3);
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
    }));

  test("may have waits of its own, which apply after a try without an answer, too", () =>
    inWorld(
      async (world) => {
        world.add("k", 1);
        await world.last.fail();
        expect(world.dueIn()).toBe(500);
        world.pass(500);
        // No answer comes.
        expect(world.dueIn()).toBe(TIMEOUT_MS + 70_000);
        world.pass(TIMEOUT_MS + 70_000);
        expect(world.last.tries).toBe(3);
        expect(world.heard.map((call) => world.calls.isCurrent(call))).toEqual([false, false, true]);
        await world.last.answer("ok");
        expect(world.calls.isCurrent(world.last)).toBe(false);
      },
      { waitsMs: [500, 70_000, 80_000] },
    ));

  test("waits with a jitter of ±20 %", () =>
    inWorld(async (world) => {
      const waits = [];
      for (const random of [0, 1]) {
        world.random = random;
        world.add(`k${random}`, 1);
        await world.last.fail();
        waits.push(world.dueIn(`k${random}`));
      }
      expect(waits).toEqual([800, 1200]);
    }));

  test("is retried if applying its acknowledgement fails, after a rollback", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      await world.last.answer("throw");
      expect(world.done).toEqual([]);
      expect(world.reported).toHaveLength(1);
      world.pass(RETRY_MS);
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
    }));

  test("without an answer is retried after its timeout; of both tries the first answer counts", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(TIMEOUT_MS);
      const [first, second] = world.heard as [Heard, Heard];
      expect(second.tries).toBe(2);
      await first.answer("ok");
      await second.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
      expect(world.isEmpty).toBe(true);
    }));

  test("whose earlier try fails while a later one is running waits for the later one", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(TIMEOUT_MS);
      const [first, second] = world.heard as [Heard, Heard];
      await first.fail();
      expect(world.dueIn()).toBe(TIMEOUT_MS);
      await second.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
    }));

  test("with a late answer is not confused with the next call of its key", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(TIMEOUT_MS);
      const [first, second] = world.heard as [Heard, Heard];
      await second.answer("ok");
      world.add("k", 2);
      await first.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
      expect(world.calls.waiting()).toEqual([{ key: "k", payload: 2 }]);
    }));

  test("that is dropped is not repeated, and its answer is ignored", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.transactions.run(() => world.calls.drop("k"));
      await world.last.answer("ok");
      world.pass(TIMEOUT_MS);
      expect(world.done).toEqual([]);
      expect(world.heard).toHaveLength(1);
      expect(world.isEmpty).toBe(true);
    }));

  test("may wait before its first try", () =>
    inWorld((world) => {
      world.add("k", 1, 5000);
      world.pass(4999);
      expect(world.heard).toEqual([]);
      world.pass(1);
      expect(world.payloads).toEqual([1]);
    }));

  test("is given up after its last try fails or has no answer", () =>
    inWorld(
      async (world) => {
        world.add("fails", 1);
        await world.last.fail();
        world.pass(RETRY_MS);
        await world.last.fail();
        expect(world.done).toEqual(["gave up 1"]);
        world.add("silent", 2);
        world.pass(TIMEOUT_MS);
        world.pass(TIMEOUT_MS);
        expect(world.payloads).toEqual([1, 1, 2, 2]);
        expect(world.done).toEqual(["gave up 1", "gave up 2"]);
        await world.last.answer("ok");
        expect(world.done).toEqual(["gave up 1", "gave up 2"]);
        expect(world.isEmpty).toBe(true);
      },
      { maxTries: 2 },
    ));
});

describe("an object that starts again", () => {
  test("retries at once a call in its first try", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.live();
      expect(world.dueIn()).toBe(0);
      world.pass(0);
      expect(world.heard).toHaveLength(2);
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 1"]);
    }));

  test("keeps the wait of a failed call", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      await world.last.fail();
      world.live();
      expect(world.dueIn()).toBe(RETRY_MS);
    }));

  test("waits before a call that crashes it each time", () =>
    inWorld((world) => {
      world.add("k", 1);
      const waits: unknown[] = [];
      for (let lives = 0; lives < 5; lives++) {
        world.live();
        waits.push(world.dueIn());
        world.pass(world.dueIn() as number);
      }
      expect(waits).toEqual([0, 1000, 2000, 4000, 8000]);
    }));

  test("makes a call that has lost its timer", () =>
    inWorld((world) => {
      world.add("k", 1, 5000);
      world.transactions.run(() => world.timers.clear("orphan", "k"));
      world.live();
      world.pass(0);
      expect(world.payloads).toEqual([1]);
    }));
});

describe("calls of one key", () => {
  test("are made one after the other, in their order; other keys do not wait", () =>
    inWorld(async (world) => {
      for (const payload of [1, 2, 3]) world.add("k", payload);
      world.add("other", 9);
      expect(world.payloads).toEqual([1, 9]);
      await world.heard[0]?.fail();
      world.pass(RETRY_MS);
      expect(world.payloads).toEqual([1, 9, 1]);
      await world.last.answer("ok");
      expect(world.payloads).toEqual([1, 9, 1, 2]);
      await world.last.answer("ok");
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 1", "ok 2", "ok 3"]);
    }));

  test("continue after one that is given up", () =>
    inWorld(
      async (world) => {
        world.add("k", 1);
        world.add("k", 2);
        await world.last.fail();
        expect(world.payloads).toEqual([1, 2]);
        await world.last.answer("ok");
        expect(world.done).toEqual(["gave up 1", "ok 2"]);
      },
      { maxTries: 1 },
    ));
});

describe("of a kind that delivers the newest", () => {
  const newest = { delivers: "newest", gatherMs: 200 } as const;

  test("calls within a moment become one", () =>
    inWorld(async (world) => {
      for (const payload of [1, 2, 3]) world.add("k", payload);
      world.pass(199);
      expect(world.heard).toEqual([]);
      world.pass(1);
      expect(world.payloads).toEqual([3]);
      await world.last.answer("ok");
      expect(world.isEmpty).toBe(true);
    }, newest));

  test("a call that is added while one is running follows its answer, a moment later", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(200);
      world.add("k", 2);
      world.add("k", 3);
      expect(world.payloads).toEqual([1]);
      await world.last.answer("ok");
      expect(world.dueIn()).toBe(200);
      world.pass(200);
      await world.last.answer("ok");
      expect(world.payloads).toEqual([1, 3]);
      expect(world.done).toEqual(["ok 1", "ok 3"]);
    }, newest));

  test("a newer one replaces a failed one, and keeps its wait", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(200);
      await world.last.fail();
      world.pass(RETRY_MS);
      await world.last.fail();
      expect(world.dueIn()).toBe(2000);
      world.add("k", 2);
      expect(world.dueIn()).toBe(2000);
      world.pass(2000);
      await world.last.fail();
      expect(world.dueIn()).toBe(4000);
      expect(world.payloads).toEqual([1, 1, 2]);
    }, newest));

  test("a newer one replaces one without an answer, or whose object died", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(200);
      world.add("k", 2);
      world.pass(TIMEOUT_MS);
      world.add("k", 3);
      world.live();
      world.pass(RETRY_MS);
      expect(world.payloads).toEqual([1, 2, 3]);
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 3"]);
      expect(world.isEmpty).toBe(true);
    }, newest));

  test("a late answer to an older one does not end the newer one that replaced it", () =>
    inWorld(async (world) => {
      world.add("k", 1);
      world.pass(200);
      world.pass(TIMEOUT_MS);
      const [first, second] = world.heard as [Heard, Heard];
      await second.fail();
      world.add("k", 2);
      await first.answer("ok");
      expect(world.calls.waiting()).toEqual([{ key: "k", payload: 2 }]);
      world.pass(world.dueIn() as number);
      await world.last.answer("ok");
      expect(world.done).toEqual(["ok 2"]);
      expect(world.isEmpty).toBe(true);
    }, newest));

  test("a newer one has a try of its own, even after the older one's last", () =>
    inWorld(
      async (world) => {
        world.add("k", 1);
        world.pass(200);
        world.add("k", 2);
        world.pass(TIMEOUT_MS);
        expect(world.payloads).toEqual([1, 2]);
      },
      { ...newest, maxTries: 1 },
    ));
});

type Step =
  | { do: "add"; key: string }
  | { do: "lose"; key: string }
  | { do: "answer"; nth: number; how: "ok" | "retry" | "throw" | "fail" }
  | { do: "pass"; ms: number }
  | { do: "die" };

const anyKey = fc.constantFrom("a", "b");
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("add" as const), key: anyKey }) },
  fc.record({ do: fc.constant("lose" as const), key: anyKey }),
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("answer" as const),
      nth: fc.nat(3),
      how: fc.constantFrom("ok" as const, "ok" as const, "retry" as const, "throw" as const, "fail" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(200, 1000, 30_000) }) },
  fc.record({ do: fc.constant("die" as const) }),
);

test.each<[string, Rules]>([
  ["all", { delivers: "all" }],
  ["all, so often", { delivers: "all", maxTries: 3 }],
  ["the newest", { delivers: "newest", gatherMs: 200 }],
])("whatever happens, each call comes to one end, in order: %s", (_, rules) =>
  inStorage(async (storage) => {
    const property = fc.asyncProperty(fc.array(anyStep, { maxLength: 40 }), async (steps) => {
      const world = new World(storage, rules);
      const added: Record<string, number[]> = { a: [], b: [] };
      let count = 0;
      for (const step of steps) {
        if (step.do === "add") {
          world.add(step.key, ++count);
          added[step.key]?.push(count);
        } else if (step.do === "lose") {
          const lost = () =>
            world.transactions.run(() => {
              world.calls.add(step.key, -1);
              throw new Error("lost");
            });
          expect(lost).toThrow("lost");
        } else if (step.do === "answer") {
          const heard = world.heard.at(-1 - step.nth);
          if (heard !== undefined) await (step.how === "fail" ? heard.fail() : heard.answer(step.how));
        } else if (step.do === "pass") world.pass(step.ms);
        else world.live();
      }
      // The callee is well again.
      for (let rounds = 0; !world.isEmpty && rounds < 200; rounds++) {
        for (const heard of [...world.heard]) await heard.answer("ok");
        world.pass(LONGEST_MS);
      }
      expect(world.isEmpty).toBe(true);
      for (const key of ["a", "b"]) {
        const mine = added[key] as number[];
        const ends = world.done.map((what) => Number(what.split(" ").at(-1))).filter((end) => mine.includes(end));
        const tries = world.heard.filter((heard) => heard.key === key).map(({ payload }) => payload);
        // Never an older one after a newer one, whose turn came when it had ended.
        expect(tries).toEqual(tries.toSorted((a, b) => a - b));
        if (rules.delivers === "all") expect(ends).toEqual(mine);
        else {
          expect(ends).toEqual([...new Set(ends)].toSorted((a, b) => a - b));
          expect(ends.at(-1)).toBe(mine.at(-1));
        }
        for (const payload of mine) {
          expect(tries.filter((each) => each === payload).length).toBeLessThanOrEqual(rules.maxTries ?? Infinity);
        }
      }
    });
    await fc.assert(property, { numRuns: 300 });
  }),
);
