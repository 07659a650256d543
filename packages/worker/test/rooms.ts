/**
 * The rooms that a unit test of one of them needs, on the real SQLite of a Durable Object. The test controls the clock and the link
 * to the runner. There are no consequences: the events that a room records stay recorded, and nothing handles them.
 */

import type { ToRunner, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { DOUBLE_KEYS, type ValetSpans } from "@valet/shared/spans";
import {
  encodeTraces,
  parseOpenSpan,
  type ReadableSpan,
  serialiseSpan,
  strictlyIncreasing,
  Tracer,
  toEpochTime,
} from "@valet/shared/tracing";
import type { SessionEvent } from "../src/durable-objects/consequences.ts";
import { Changes } from "../src/durable-objects/core/changes.ts";
import { MAIN_CHANNEL } from "../src/durable-objects/core/limits.ts";
import { type SessionPatch, SessionState } from "../src/durable-objects/core/session-state.ts";
import { SessionTracer, type SpanStore } from "../src/durable-objects/core/session-tracer.ts";
import { Timers } from "../src/durable-objects/core/timers.ts";
import { TraceUsers } from "../src/durable-objects/core/trace-users.ts";
import { Transactions } from "../src/durable-objects/core/transactions.ts";
import { JobQueue } from "../src/durable-objects/queue/job-queue.ts";
import { type AttemptRow, type JobRow, JobStore, type WorkflowBody } from "../src/durable-objects/queue/job-store.ts";
import type { NewMessage } from "../src/durable-objects/queue/ports.ts";
import { Workflows } from "../src/durable-objects/workflow/workflows.ts";
import { inStorage } from "./in-storage.ts";
import { type SeenSpan, spansIn } from "./session.ts";

export const SESSION_ID = "ses_rooms";
export const IDLE_TIMEOUT_MS = 900_000;

/** A running session whose runner is connected and ready. */
export class Rooms {
  nowMs = 1_800_000_000_000;
  readonly now = () => this.nowMs;
  /** The recorded events, in order. */
  readonly events: SessionEvent[] = [];
  readonly record = (event: SessionEvent) => void this.events.push(event);
  /** The frames that were sent to the runner, in order. */
  readonly frames: ToRunner[] = [];
  /** Whether sending fails, as on a broken socket. */
  linkFails = false;
  readonly link = {
    send: (frame: ToRunner): boolean => {
      if (!this.linkFails) this.frames.push(frame);
      return !this.linkFails;
    },
  };
  /** The session's place in the line for a sandbox. */
  readonly line: { place: number | undefined } = { place: undefined };
  /** Runs at the end of each transaction, in the place of `Consequences`. */
  beforeCommit: () => void = () => {};
  readonly sql: SqlStorage;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly changes = new Changes();
  readonly state: SessionState;
  readonly tracer: SessionTracer;
  readonly jobs: JobStore;
  readonly workflows: Workflows;
  readonly queue: JobQueue;
  readonly #store = new CollectingStore();

  constructor(storage: DurableObjectStorage) {
    const { sql } = storage;
    const { now, record, changes } = this;
    this.sql = sql;
    this.transactions = new Transactions(storage, {
      beforeCommit: () => {
        this.beforeCommit();
        this.state.store();
      },
      onCommit: () => {},
      report: fail,
      onRollback: () => this.state.reload(),
    });
    this.timers = new Timers({
      storage: { sql, setAlarm: async () => {} },
      now,
      alsoDueMs: () => undefined,
      report: fail,
      transact: (work) => this.run(work),
      onRollback: (undo) => this.transactions.onRollback(undo),
    });
    this.state = new SessionState({
      sql,
      now,
      onChange: () => changes.session(),
      isInTransaction: () => this.transactions.isRunning,
    });
    const clock = strictlyIncreasing(() => toEpochTime(this.nowMs) as NonNullable<ReturnType<typeof toEpochTime>>);
    this.tracer = new SessionTracer(
      new Tracer<ValetSpans>({ scope: { name: "rooms" }, processor: this.#store, clock, doubleKeys: DOUBLE_KEYS }),
      this.#store,
      () => ({ id: SESSION_ID, generation: this.state.record.generation, origin: { userId: "own_1" } }),
      new TraceUsers(sql),
    );
    this.jobs = new JobStore(sql, this.transactions);
    this.workflows = new Workflows(sql, this.jobs, this.line);
    this.queue = new JobQueue({
      jobs: this.jobs,
      workflows: this.workflows,
      tracer: this.tracer,
      changes,
      record,
      now,
    });
    this.run(() =>
      this.state.create({
        id: SESSION_ID,
        ownerId: "own_1",
        state: "running",
        generation: 1,
        models: [],
        queueMode: "followup",
        idleTimeoutMs: IDLE_TIMEOUT_MS,
        recovery: { attempts: 0, readyMs: this.nowMs },
        sandbox: { id: "box_1", driver: "local" },
        link: { state: "connected", ready: true, connectionId: "con_1", instanceId: "run_1", instances: ["run_1"] },
      }),
    );
  }

  /** Runs `work` in a transaction. */
  run<T>(work: () => T): T {
    return this.transactions.run(work);
  }

  change(patch: SessionPatch): void {
    this.run(() => this.state.update(patch));
  }

  /** Takes the link to the runner down; the grace period runs. */
  loseLink(): void {
    this.run(() => this.state.updateLink({ state: "grace", connectionId: undefined }));
  }

  /** Advances the clock; every timer that is due meanwhile runs at its time. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let due = this.#nextDueMs(); due <= untilMs; due = this.#nextDueMs()) {
      this.nowMs = Math.max(this.nowMs, due);
      this.timers.fire();
    }
    this.nowMs = untilMs;
  }

  #nextDueMs(): number {
    const { due } = this.sql.exec("SELECT MIN(due_ms) AS due FROM timers").one();
    return (due as number | null) ?? Infinity;
  }

  /** Queues a message. */
  message(id: string, { content = `do ${id}`, ...more }: Partial<NewMessage> & { content?: string } = {}): JobRow {
    const message: NewMessage = {
      id,
      channel: MAIN_CHANNEL,
      mode: "followup",
      source: "user",
      initial: false,
      notBeforeMs: 0,
      sizeBytes: 1,
      parent: undefined,
      body: { content, attachments: [] },
      ...more,
    };
    return this.run(() => this.queue.accept(message)).row;
  }

  /** Queues a workflow of commands. */
  workflow(id: string, { channel = MAIN_CHANNEL, ...body }: Partial<WorkflowBody> & { channel?: string } = {}): JobRow {
    const steps = [
      { name: "build", run: "make" },
      { name: "test", run: "make test" },
    ];
    const entry = { id, channel, sizeBytes: 1, parent: undefined };
    return this.run(() =>
      this.queue.acceptWorkflow({ ...entry, body: { name: "check", steps, onFailure: "stop", ...body } }),
    ).row;
  }

  /** Begins an attempt of queued jobs. @returns its id */
  dispatched(...ids: string[]): string {
    return this.run(() => this.queue.dispatch(ids, this.state.record.generation)).attempt.id;
  }

  /** Begins an attempt that the runner accepts. @returns its id */
  accepted(...ids: string[]): string {
    const attemptId = this.dispatched(...ids);
    this.run(() => this.queue.accepted(attemptId));
    return attemptId;
  }

  attempt(id: string): AttemptRow {
    return found(this.jobs.attempt(id), id);
  }

  job(id: string): JobRow {
    return found(this.jobs.job(id), id);
  }

  /** Returns the recorded events of one type. */
  recorded<T extends SessionEvent["type"]>(type: T): Extract<SessionEvent, { type: T }>[] {
    return this.events.filter((event) => event.type === type) as Extract<SessionEvent, { type: T }>[];
  }

  /** Returns the sent frames of one type. */
  sent<T extends ToRunner["type"]>(type: T): ToRunnerOf<T>[] {
    return this.frames.filter((frame) => frame.type === type) as ToRunnerOf<T>[];
  }

  /** Returns every span of one name, including open ones, in order of their starts. */
  spans(name: string): SeenSpan[] {
    return this.#store.spans().filter((span) => span.name === name);
  }
}

/** Runs a test with rooms in an object of their own. */
export function inRooms(work: (rooms: Rooms) => void | Promise<void>): Promise<void> {
  return inStorage((storage) => work(new Rooms(storage)));
}

/** Stores spans in memory, open ones as text, like the trace store. */
class CollectingStore implements SpanStore {
  readonly #open = new Map<string, string>();
  readonly #ended: ReadableSpan[] = [];

  onStart(span: ReadableSpan): void {
    this.#open.set(span.context.spanId, serialiseSpan(span));
  }

  onEnd(span: ReadableSpan): void {
    this.#open.delete(span.context.spanId);
    this.#ended.push(span);
  }

  openSpan(spanId: string) {
    return parseOpenSpan(this.#open.get(spanId) ?? "");
  }

  spans(): SeenSpan[] {
    const open = [...this.#open.keys()].map(
      (id) => ({ ...this.openSpan(id), scope: { name: "rooms" } }) as ReadableSpan,
    );
    const seen = spansIn(encodeTraces({}, [...this.#ended, ...open]));
    return seen.sort((a, b) => (a.startNs < b.startNs ? -1 : 1));
  }
}

function found<T>(row: T | undefined, id: string): T {
  if (row === undefined) throw new Error(`no ${id}`);
  return row;
}

/** Fails the test with an error that a deployment would log. */
function fail(error: unknown): never {
  throw error;
}
