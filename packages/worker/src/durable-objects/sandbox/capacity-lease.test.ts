/** What a session reports to the capacity object of its broker, over real storage; the capacity object is the test's. */
import { runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { NEW_SESSION } from "../../../test/session-record.ts";
import type { CapacityReport, CapacityStanding } from "../capacity/capacity-calls.ts";
import { upgradeSchema } from "../core/schema.ts";
import { type SessionPatch, type SessionRecord, SessionState } from "../core/session-state.ts";
import { Timers } from "../core/timers.ts";
import { Transactions } from "../core/transactions.ts";
import { SESSION_MIGRATIONS } from "../session-schema.ts";
import { CapacityLease, needOf } from "./capacity-lease.ts";

const WAITING: SessionPatch = {
  state: "starting",
  operation: {
    id: "op_1",
    kind: "spawn",
    step: "waiting",
    startedMs: 1,
    context: { traceId: "a".repeat(32), spanId: "b".repeat(16), traceFlags: 1 } as never,
  },
};

interface Sent extends CapacityReport {
  readonly name: string;
  answer(standing: Partial<CapacityStanding>): void;
  fail(): void;
}

/** A lease in one life of its object. */
class World {
  readonly state: SessionState;
  readonly timers: Timers;
  readonly lease: CapacityLease;
  readonly sent: Sent[] = [];
  readonly heard: (number | "granted")[] = [];
  readonly reported: unknown[] = [];
  readonly #transactions: Transactions;
  readonly #storage: DurableObjectStorage;

  constructor({ storage }: DurableObjectState, brokerUrl = "https://broker.example") {
    this.#storage = storage;
    const report = (error: unknown) => void this.reported.push(error);
    this.#transactions = new Transactions(storage, {
      beforeCommit: () => {
        this.lease.reportNeed();
        this.state.store();
      },
      onCommit: () => {},
      onRollback: () => this.lease.reload(),
      report,
    });
    this.timers = new Timers({
      storage: { sql: storage.sql, setAlarm: async () => {} },
      now: Date.now,
      report,
      transact: (work) => this.#transactions.run(work),
      onRollback: (undo) => this.#transactions.onRollback(undo),
      alsoDueMs: () => undefined,
    });
    this.state = new SessionState({
      sql: storage.sql,
      now: Date.now,
      onChange: () => {},
      isInTransaction: () => this.#transactions.isRunning,
    });
    this.lease = new CapacityLease({
      sql: storage.sql,
      state: this.state,
      timers: this.timers,
      transactions: this.#transactions,
      report,
      brokerUrl,
      now: Date.now,
      retryMs: 2000,
      background: () => {},
      capacity: (name) => ({
        report: (report) =>
          new Promise((resolve, reject) => {
            const { generation } = report;
            const answer: Sent["answer"] = (standing) => resolve({ generation, granted: false, ...standing });
            this.sent.push({ ...report, name, answer, fail: () => reject(new Error("away")) });
          }),
      }),
      record: (event) => {
        if (event.type === "place-changed") this.heard.push(event.place);
        if (event.type !== "turn-granted") return;
        this.heard.push("granted");
        this.state.updateOperation({ step: "calling" });
        this.state.update({ generation: this.state.record.generation + 1 });
      },
    });
    this.timers.handle(this.lease.timerHandlers);
    if (this.state.maybe !== undefined) return;
    this.#transactions.run(() => this.state.create(NEW_SESSION));
  }

  resume(): void {
    this.#transactions.run(() => this.lease.resume());
  }

  /** The time of whatever waits has come. */
  elapse(): void {
    this.#storage.sql.exec("UPDATE timers SET due_ms = 0");
    this.timers.fire();
  }

  change(patch: SessionPatch): void {
    this.#transactions.run(() => this.state.update(patch));
  }

  tell(name: string, standing: CapacityStanding): void {
    this.#transactions.run(() => this.lease.onStanding(name, standing));
  }

  async nth(index: number): Promise<Sent> {
    return eventually(() => {
      const sent = this.sent[index];
      if (sent === undefined) throw new Error(`no report ${index}`);
      return sent;
    });
  }
}

/** Runs with a storage of its own; each world on it is a life of the object. */
function inObject(work: (live: (brokerUrl?: string) => World) => Promise<void>): Promise<void> {
  const { SESSION_AGENT } = bindings;
  const stub = SESSION_AGENT.get(SESSION_AGENT.idFromName(`lease_${crypto.randomUUID()}`));
  return runInDurableObject(stub, (_object, state) => {
    upgradeSchema(state.storage, SESSION_MIGRATIONS);
    return work((brokerUrl) => new World(state, brokerUrl));
  });
}

test("what a session needs is reported once, numbered, and in order", () =>
  inObject(async (live) => {
    const world = live();
    world.change(WAITING);
    expect(await world.nth(0)).toMatchObject({ need: "start", generation: 1, version: 1, name: "broker.example" });
    world.sent[0]?.answer({ place: 2 });
    await eventually(() => expect(world.heard).toEqual([2]));
    expect(world.lease.place).toBe(2);
    world.tell("broker.example", { generation: 1, granted: false, place: 1 });
    world.tell("broker.example", { generation: 1, granted: true });
    world.tell("broker.example", { generation: 1, granted: true });
    expect(world.heard).toEqual([2, 1, "granted"]);
    expect(world.lease.place).toBeUndefined();
    world.change({ state: "running", operation: undefined, sandbox: { id: "sbx_1", driver: "local" } });
    expect(await world.nth(1)).toMatchObject({ need: "awake", generation: 1, version: 2 });
    world.change({ title: "nothing that it needs" });
    world.change({ state: "hibernated", sandbox: undefined });
    world.sent[1]?.answer({ granted: true });
    // One after the other: the newest follows when the one before has its answer.
    expect(await world.nth(2)).toMatchObject({ need: "none", version: 3 });
    world.sent[2]?.answer({});
    await eventually(() => expect(world.timers.dueMs("capacity-report")).toBeUndefined());
    expect(world.sent).toHaveLength(3);
  }));

test("a failed report is retried, and so is one whose object died", () =>
  inObject(async (live) => {
    const world = live();
    world.change(WAITING);
    (await world.nth(0)).fail();
    await eventually(() => expect(world.reported).toHaveLength(1));
    // With a fifth of jitter.
    expect(world.timers.dueMs("capacity-report")).toBeLessThanOrEqual(Date.now() + 2400);
    const next = live();
    next.resume();
    next.elapse();
    expect(await next.nth(0)).toMatchObject({ need: "start", version: 1 });
    const third = live();
    third.resume();
    third.elapse();
    expect(await third.nth(0)).toMatchObject({ need: "start", version: 1 });
  }));

test("a standing that is late, of another generation or from another object changes nothing", () =>
  inObject(async (live) => {
    const world = live();
    world.change(WAITING);
    world.tell("broker.example", { generation: 0, granted: true });
    world.tell("other.example", { generation: 1, granted: true });
    expect(world.heard).toEqual([]);
    expect(world.lease.needFor("other.example")).toBeNull();
    world.change({ state: "terminating", operation: undefined });
    world.sent[0]?.answer({ granted: true });
    expect(await world.nth(1)).toMatchObject({ need: "none" });
    expect(world.heard).toEqual([]);
  }));

test("a session whose broker's address has changed is counted by one object only", () =>
  inObject(async (live) => {
    const world = live();
    world.change({ state: "running", sandbox: { id: "sbx_1", driver: "local" }, generation: 1 });
    (await world.nth(0)).answer({ granted: true });
    await eventually(() => expect(world.timers.dueMs("capacity-report")).toBeUndefined());
    const moved = live("https://moved.example:8790");
    moved.resume();
    expect(await moved.nth(0)).toMatchObject({ name: "broker.example", need: "none", version: 2 });
    moved.sent[0]?.answer({});
    expect(await moved.nth(1)).toMatchObject({ name: "moved.example:8790", need: "awake", version: 2 });
    moved.sent[1]?.answer({ granted: true });
    await eventually(() => expect(moved.timers.dueMs("capacity-report")).toBeUndefined());
    moved.change({ state: "hibernated", sandbox: undefined });
    expect(await moved.nth(2)).toMatchObject({ name: "moved.example:8790", need: "none", version: 3 });
  }));

test("an ended session needs nothing, an ending one keeps its slot while its sandbox exists", () => {
  const record = { state: "terminating", generation: 2 } as SessionRecord;
  expect(needOf(record)).toMatchObject({ need: "none" });
  expect(needOf({ ...record, sandbox: { id: "sbx_1", driver: "local" } })).toMatchObject({ need: "awake" });
  expect(needOf({ ...record, state: "error" })).toMatchObject({ need: "none" });
  expect(needOf({ ...record, state: "recovering" })).toMatchObject({ need: "awake", generation: 2 });
});
