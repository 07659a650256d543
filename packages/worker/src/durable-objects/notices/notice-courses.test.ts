// Random courses of the projection and the events that follow from it: D1 and the endpoint are away, fail or answer late, and the
// object dies between any two steps.
import type { SessionStatus, SessionView } from "@valet/shared/protocol/session-view";
import { WebhookEvent } from "@valet/shared/protocol/webhooks";
import fc from "fast-check";
import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { TURN } from "../../../test/turn-record.ts";
import type { Posted, Posting } from "../../webhooks/post.ts";
import type { WebhookKeys } from "../../webhooks/secrets.ts";
import { Timers } from "../core/timers.ts";
import { Transactions } from "../core/transactions.ts";
import { ProjectionOutbox } from "../projection/projection-outbox.ts";
import { Notices } from "./notices.ts";

const ENDPOINT = "wh_1";
const STATES = ["running", "hibernating", "hibernated", "restoring"] as const satisfies SessionStatus[];
const HOUR_MS = 3_600_000;

/** A call of the object that is under way: the course decides how it ends. */
interface Pending {
  readonly what: "d1" | "post";
  end(isOk: boolean): void;
}

class World {
  nowMs = 1_800_000_000_000;
  status: SessionStatus = "running";
  turns = 0;
  /** Each status that the session took, and each turn that ended. */
  readonly happened: string[] = [];
  pending: Pending[] = [];
  /** What the endpoint has received, whether it took it or not. */
  readonly got: { readonly id: string; readonly body: string; readonly isTaken: boolean }[] = [];
  readonly #storage: DurableObjectStorage;
  #outbox!: ProjectionOutbox;
  #timers!: Timers;
  #transactions!: Transactions;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    const tables = ["durable_calls", "timers", "projected_turns", "projected_session", "notices"];
    for (const table of tables) storage.sql.exec(`DELETE FROM ${table}`);
    this.live();
    this.#transactions.run(() => this.#outbox.sessionChanged());
  }

  /** Restarts the object: what was under way is lost, whether or not it had arrived. */
  live(): void {
    this.pending = [];
    const { sql } = this.#storage;
    const report = () => {};
    const transactions = new Transactions(this.#storage, {
      beforeCommit: () => {},
      onCommit: () => {},
      onRollback: () => {},
      report,
    });
    const now = () => this.nowMs;
    const transact = (work: () => void) => transactions.run(work);
    const storage = { sql, setAlarm: async () => {} };
    const onRollback = (undo: () => void) => transactions.onRollback(undo);
    const timers = new Timers({ storage, now, report, transact, onRollback, alsoDueMs: () => undefined });
    const durable = { sql, timers, transactions, now, retryMs: 2000, random: () => 0.5, background: () => {}, report };
    const notices = new Notices({
      ...durable,
      db: this.#database(),
      keys: {
        open: async () => ({ current: "whsec_x" }),
        isCurrent: async () => true,
      } as unknown as WebhookKeys,
      why: async (jobId) => `Why ${jobId}.`,
      post: (posting) => this.#post(posting),
    });
    this.#outbox = new ProjectionOutbox({
      ...durable,
      db: this.#database(),
      session: () => ({
        ownerId: "own",
        view: { id: "ses", status: this.status, updatedAt: "", createdAt: "" } as SessionView,
      }),
      status: () => this.status,
      sentence: (turn) => notices.sentence(turn),
      onWritten: (written) => notices.projected(written),
    });
    timers.handle({ ...this.#outbox.timerHandlers, ...notices.timerHandlers });
    this.#timers = timers;
    this.#transactions = transactions;
    transactions.run(() => {
      this.#outbox.resume();
      notices.resume();
    });
  }

  endTurn(): void {
    const record = { ...TURN, session_id: "ses", attempt_id: `att_${this.turns}`, message_ids: [`msg_${this.turns}`] };
    this.turns++;
    this.happened.push(...record.message_ids);
    this.#transactions.run(() => this.#outbox.addTurn(record));
  }

  /** Something more is known of the last turn. */
  updateTurn(): void {
    if (this.turns === 0) return;
    const last = `${this.turns - 1}`;
    const record = { ...TURN, session_id: "ses", attempt_id: `att_${last}`, message_ids: [`msg_${last}`], commits: 1 };
    this.#transactions.run(() => this.#outbox.updateTurn(record));
  }

  setStatus(status: SessionStatus): void {
    if (status !== this.status) this.happened.push(status);
    this.status = status;
    this.#transactions.run(() => this.#outbox.sessionChanged());
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.#timers.fire();
  }

  /** Ends what has been under way for longest. */
  async end(isOk: boolean): Promise<void> {
    this.pending.shift()?.end(isOk);
    // What follows has happened after some microtasks.
    for (let task = 0; task < 30; task++) await undefined;
  }

  /** Lets everything happen that is still to happen, at a D1 and an endpoint that work. */
  async settle(): Promise<void> {
    const left = () => this.#storage.sql.exec("SELECT COUNT(*) AS n FROM durable_calls").one().n as number;
    for (let round = 0; left() > 0 && round < 1000; round++) {
      while (this.pending.length > 0) await this.end(true);
      this.pass(5 * HOUR_MS);
    }
    expect(left()).toBe(0);
  }

  #until<T>(what: Pending["what"], answer: (isOk: boolean) => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.pending.push({
      what,
      end: (isOk) => {
        try {
          resolve(answer(isOk));
        } catch (error) {
          reject(error);
        }
      },
    });
    return promise;
  }

  #post({ id, body }: Posting): Promise<Posted> {
    // It has arrived, whatever becomes of the answer.
    const arrived = this.got.push({ id, body, isTaken: false }) - 1;
    return this.#until("post", (isOk) => {
      this.got[arrived] = { id, body, isTaken: isOk };
      return isOk ? { status: 204 } : { status: 500 };
    });
  }

  #database(): D1Database {
    const answer = <T>(value: T) =>
      this.#until("d1", (isOk) => {
        if (!isOk) throw new Error("D1 is away");
        return value;
      });
    const statement = {
      bind: () => statement,
      first: () => answer({ id: ENDPOINT, url: "https://hooks.example.com/", secrets: "{}", failing_since: null }),
      run: () => answer({ meta: { changes: 1 } }),
    };
    const subscription = { id: ENDPOINT, events: JSON.stringify(["turn.ended", "session.state"]) };
    return { prepare: () => statement, batch: () => answer([{ results: [subscription] }]) } as unknown as D1Database;
  }
}

/** A step of a course. Times are short enough that no event is given up. */
const step: fc.Arbitrary<(world: World) => unknown> = fc.oneof(
  fc.constant((world: World) => world.endTurn()),
  fc.constant((world: World) => world.updateTurn()),
  fc.constantFrom(...STATES).map((status) => (world: World) => world.setStatus(status)),
  fc.constantFrom(250, 6000, 90_000).map((ms) => (world: World) => world.pass(ms)),
  fc.constant((world: World) => world.end(true)),
  fc.constant((world: World) => world.end(true)),
  fc.constant((world: World) => world.end(false)),
  fc.constant((world: World) => world.live()),
);

test("each turn and each state has one event, in the order in which they came about, whenever the object dies", async () => {
  await inStorage((storage) =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120, size: "max" }), async (steps) => {
        const world = new World(storage);
        for (const take of steps) await take(world);
        await world.settle();

        const bodies = new Map<string, string>();
        const order: string[] = [];
        let newest = -1;
        for (const { id, body } of world.got) {
          // A repeated event is the same, and never comes after a later one.
          if (bodies.has(id)) expect(bodies.get(id)).toBe(body);
          else order.push(id);
          bodies.set(id, body);
          expect(order.indexOf(id)).toBeGreaterThanOrEqual(newest);
          newest = order.indexOf(id);
        }
        const events = order.map((id) => WebhookEvent.parse(JSON.parse(bodies.get(id) as string)));
        const told = events.flatMap((event) => (event.type === "turn.ended" ? event.data.turn.message_ids : []));
        expect(told).toEqual(Array.from({ length: world.turns }, (_, turn) => `msg_${turn}`));
        const states = events.flatMap((event) => (event.type === "session.state" ? [event.data] : []));
        states.forEach(({ previous, status }, index) => {
          expect(previous).toBe(states[index - 1]?.status ?? null);
          expect(status).not.toBe(previous);
        });
        const came = events.map((event) =>
          event.type === "turn.ended"
            ? event.data.turn.message_ids[0]
            : event.type === "session.state" && event.data.status,
        );
        expect(came).toEqual(["running", ...world.happened]);
        for (const event of events) {
          if (event.type === "turn.ended") expect(event.data.text).toBe(`Why ${event.data.turn.message_ids[0]}.`);
        }
        for (const id of order) expect(world.got.some((each) => each.id === id && each.isTaken)).toBe(true);
      }),
      { numRuns: 500 },
    ),
  );
});
