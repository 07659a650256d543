/** Runs one course of a session: applies steps to the object and to the model, compares them, and then ends everything. */
import type { QueueMode } from "@valet/shared/spans";
import { vi } from "vitest";
import type { Result } from "../../src/durable-objects/core/result.ts";
import type { SessionRecord } from "../../src/durable-objects/core/session-state.ts";
import { CALLER } from "../session.ts";
import { StandInBackend } from "./backend.ts";
import { StandInBroker, type StandInSandbox } from "./broker.ts";
import { checkCertificates } from "./check-certificates.ts";
import { checkSpans } from "./check-spans.ts";
import { DatabaseAway } from "./database.ts";
import { empty, Host } from "./host.ts";
import { check, type MessageSeen, Model } from "./model.ts";
import { StandInRunner } from "./runner.ts";
import type { Step } from "./steps.ts";

export const SESSION_ID = "ses_course";
/** The name of the broker's capacity object. */
const BROKER = "broker.test";
const START_MS = Date.UTC(2026, 0, 1);
/** A stuck turn is ended after twice the interval. */
const STUCK_MS = 1_200_000;
/** Longer than a terminated session is kept. */
const RETENTION_MS = 31 * 86_400_000;
/** What the object says of a backend that does not take its spans. */
const OF_EXPORT = '"host":"otlp.test"';
/** After this many rounds everything must have ended. */
const MAX_ROUNDS = 200;
const ROUND_MS = 31_000;

/** Runs a course over an object's storage, which it empties. @throws Wrong, or what the object throws */
export async function runCourse(real: DurableObjectState, steps: readonly Step[], hasBackend = false): Promise<void> {
  empty(real.storage.sql);
  vi.useFakeTimers({ now: START_MS, toFake: ["Date", "setTimeout", "clearTimeout"] });
  const course = new Course(real, hasBackend);
  const platform = { fetch, Response, WebSocketPair };
  const said = vi.spyOn(console, "error").mockImplementation((text) => course.host.failures.push(String(text)));
  Object.assign(globalThis, course.host.globals);
  try {
    await course.create();
    for (const step of steps) await course.step(step);
    await course.finish();
  } finally {
    Object.assign(globalThis, platform);
    said.mockRestore();
    vi.useRealTimers();
  }
}

class Course {
  readonly host: Host;
  readonly model = new Model();
  readonly #sql: SqlStorage;
  readonly #runners: StandInRunner[] = [];
  /** When turns began, by attempt. */
  readonly #begun = new Map<string, number>();

  /** How many permissions were asked for. */
  #asked = 0;
  readonly #delivered = new Set<string>();
  /** Spans of frames that could not be read, with their traces. */
  readonly #lost = new Map<string, string>();
  readonly #backend: StandInBackend | undefined;
  #isOneClock = true;

  constructor(real: DurableObjectState, hasBackend: boolean) {
    this.#backend = hasBackend ? new StandInBackend() : undefined;
    this.#sql = real.storage.sql;
    const onAsked = () => check(this.host.capacity.holds(SESSION_ID), "a session that requests a sandbox has a slot");
    const broker = new StandInBroker((sandbox) => this.#onSandbox(sandbox), onAsked);
    this.host = new Host(real, broker, {}, this.#backend);
    this.host.onFrame = (text) => this.#onFrame(text);
    this.host.onErase = () => this.#onErase();
  }

  async create(): Promise<void> {
    const result = await this.host.agent.create({ id: SESSION_ID }, CALLER);
    check(result.ok, "a session is created");
    // The session receives the slot for its sandbox.
    await this.host.settle();
    await this.#observe();
  }

  async step(step: Step): Promise<void> {
    const { host } = this;
    const { dies } = step;
    // Nothing is left that anything could happen to.
    if (host.isErased) return;
    if (dies !== undefined) host.doom(dies);
    await this.#do(step);
    await host.settle();
    if (dies !== undefined) await host.crash();
    else await host.pass(1);
    this.#observe();
  }

  async #do(step: Step): Promise<void> {
    const { host, model } = this;
    const { agent } = host;
    const runner = this.#runner;
    switch (step.do) {
      case "send":
        return this.#send(step.channel, step.mode);
      case "again":
      case "withdraw":
        return step.do === "again" ? this.#again(step.nth) : this.#withdraw(step.nth);
      case "clear": {
        const queued = model.queued;
        model.gives("queue_cleared", ({ status }) => status === "queued");
        const result = await agent.clearQueue(CALLER);
        return check(result.ok && result.value.withdrawn === queued, "clearing takes what is queued, and all of it");
      }
      case "abort":
        model.gives("user_abort", ({ status }) => status !== "queued");
        return check((await agent.abort(CALLER)).ok, "an abort is always taken");
      case "hibernate": {
        const isThere = model.state === "hibernating" || model.state === "hibernated";
        const isLegal = isThere || (model.state === "running" && !model.isBusy);
        return this.#request(() => agent.hibernate(CALLER), isLegal);
      }
      case "wake":
        return this.#request(() => agent.wake(CALLER), !model.hasEnded);
      case "terminate":
        return this.#request(() => agent.terminate(CALLER), true);
      case "delete":
        return this.#request(() => agent.deleteSession(CALLER), true);
      case "answer":
        return host.broker.answer(step.nth, step.how);
      case "crowd":
        return host.capacity.crowd();
      case "yield":
        return this.#yield();
      case "room":
        host.capacity.room();
        return step.tells ? this.#sendStanding() : undefined;
      case "boot":
        await runner?.connect();
        return runner?.stage("ready");
      case "connect":
        return runner?.connect();
      case "fail-start":
        await runner?.connect();
        return runner?.stage("failed");
      case "stale": {
        const old = this.#runners.find(({ sandbox }) => sandbox.generation < model.generation);
        await old?.connect();
        old?.stage("ready");
        return check(old === undefined || !old.isUp, "an older sandbox's runner is refused");
      }
      case "finish": {
        const attemptId = [...(runner?.working.keys() ?? [])].at(step.nth % Math.max(1, runner?.working.size ?? 0));
        return attemptId === undefined
          ? undefined
          : runner?.end(attemptId, step.outcome, step.outcome === "error" ? "opencode_error" : undefined);
      }
      case "ask":
        return runner?.ask(`per_${this.#asked++}`, step.nth);
      case "reply":
        return this.#reply(`per_${Math.max(0, this.#asked - 1 - step.nth)}`);
      case "end-other":
        return runner?.endOther(step.nth);
      case "alarm":
        return agent.alarm();
      case "take":
      case "refuse":
      case "drop":
      case "silence":
      case "hang":
      case "restart":
      case "repeat":
      case "garble":
        return runner?.[step.do]();
      case "backend":
        if (this.#backend !== undefined) this.#backend.mode = step.mode;
        return;
      case "vanish":
        if (runner !== undefined) host.broker.lose(runner.sandbox.id);
        return runner?.drop();
      case "fail-send":
        return host.failNextSend();
      case "database":
        host.database.isAway = !host.database.isAway;
        return;
      case "evict":
      case "crash":
        return host[step.do]();
      case "restart-host":
        host.broker.stopAll();
        return host.crash();
      case "pass":
        return this.#pass(step.ms);
      case "set-back":
        this.#isOneClock = false;
        vi.setSystemTime(Date.now() - step.ms);
        return;
    }
  }

  /** Asks the session to hibernate, as the capacity object does. A hanging runner never reports its background processes. */
  async #yield(): Promise<void> {
    const { host, model } = this;
    this.#readRecords();
    const mayNot = model.state === "running" && (model.isBusy || model.queued > 0);
    void host.agent.yieldSlot(BROKER);
    await host.settle();
    this.#runner?.take();
    await host.settle();
    this.#readRecords();
    check(!mayNot || model.state !== "hibernating", "a session with work does not hibernate");
  }

  /** Sends the session its standing, as the capacity object does. */
  async #sendStanding(): Promise<void> {
    const standing = this.host.capacity.standing(SESSION_ID);
    if (standing !== undefined) await this.host.agent.capacity(BROKER, standing);
  }

  async #send(channel: string, mode: QueueMode): Promise<void> {
    const { model, host } = this;
    const id = `msg_${model.messages.length}`;
    const isTaken = !model.hasEnded;
    if (isTaken) model.accepts(id, channel, mode);
    const result = await host.agent.sendMessage({ content: "x", id, channel, queueMode: mode }, CALLER);
    check(result.ok === isTaken, "a session takes messages until it ends");
  }

  async #again(nth: number): Promise<void> {
    const message = this.model.messages[nth];
    if (message === undefined) return;
    const { id, channel, mode: queueMode } = message;
    const result = await this.host.agent.sendMessage({ content: "x", id, channel, queueMode }, CALLER);
    check(result.ok && result.value.messageId === id, "a message that comes again is the same");
    const other = await this.host.agent.sendMessage({ content: "other", id, channel, queueMode }, CALLER);
    check(!other.ok && other.problem.status === 409, "another message with its id is refused");
  }

  async #withdraw(nth: number): Promise<void> {
    const message = this.model.messages.at(-1 - nth);
    if (message === undefined) return;
    const isLegal = message.status === "queued" || message.end === "aborted withdrawn";
    if (message.status === "queued") message.causes.add("withdrawn");
    const result = await this.host.agent.withdraw(message.id, CALLER);
    check(result.ok === isLegal, "what is queued can be withdrawn, and nothing else");
  }

  /** Makes a request, and checks that a refused one records no span. */
  async #request(ask: () => Promise<Result<unknown>>, isLegal: boolean): Promise<void> {
    const written = this.host.records.length;
    const result = await ask();
    check(result.ok === isLegal, `while ${this.model.state}: ${isLegal ? "refused" : "not refused"}`);
    check(result.ok || this.host.records.length === written, "what is refused changes nothing");
  }

  async #reply(id: string): Promise<void> {
    const isOpen = () => this.#sql.exec("SELECT 1 FROM agent_requests WHERE id = ?", id).toArray().length > 0;
    const wasOpen = isOpen();
    const first = await this.host.agent.replyPermission(id, "once", CALLER);
    check(wasOpen || !first.ok, "only an open request is answered");
    check(!first.ok || !isOpen(), "what is answered is not open");
    const second = await this.host.agent.replyPermission(id, "reject", CALLER);
    check(!first.ok || !second.ok, "a request is answered once");
  }

  async #pass(ms: number): Promise<void> {
    const nowMs = Date.now() + ms;
    const isStuck = [...this.#begun.values()].some((begunMs) => nowMs - begunMs >= STUCK_MS);
    if (isStuck) this.model.gives("stuck_turn", ({ status }) => status !== "queued");
    await this.host.pass(ms);
  }

  get #runner(): StandInRunner | undefined {
    return this.#runners.findLast(({ canRun }) => canRun);
  }

  #onSandbox(sandbox: StandInSandbox): void {
    const runner = new StandInRunner(this.host, sandbox, SESSION_ID, {
      delivers: (spanId) => this.#delivered.add(spanId),
      loses: (spanId, traceId) => this.#lost.set(spanId, traceId),
      begins: (attemptId) => {
        check(!this.#begun.has(attemptId), "no attempt is worked on twice");
        this.#begun.set(attemptId, Date.now());
      },
      ends: (attemptId, outcome, errorType) => {
        const ids = this.#idsOf(attemptId);
        if (errorType !== "runner_lost") this.model.gives(errorType ?? outcome, ({ id }) => ids.includes(id));
      },
    });
    this.#runners.push(runner);
  }

  #idsOf(attemptId: string): readonly string[] {
    const [row] = this.#sql.exec("SELECT jobIds FROM attempts WHERE id = ?", attemptId).toArray();
    return row === undefined ? [] : (JSON.parse(row.jobIds as string) as string[]);
  }

  #onFrame(text: string): void {
    if (!text.startsWith('{"type":"prompt"')) return;
    const { attemptId, messageIds } = JSON.parse(text).dispatch as { attemptId: string; messageIds: string[] };
    this.#readRecords();
    const waiting = this.#sql.exec("SELECT id FROM jobs WHERE status = 'queued'").toArray();
    this.model.dispatches(
      attemptId,
      messageIds,
      waiting.map(({ id }) => id as string),
    );
  }

  #readRecords(): void {
    this.model.transitions(this.host.records.splice(0).map((text) => JSON.parse(text) as SessionRecord));
  }

  /** Compares the object with the model. */
  #observe(): void {
    const { host } = this;
    const failures = host.failures.filter((text) => !text.includes(DatabaseAway.name) && !text.includes(OF_EXPORT));
    check(failures.length === 0, `the object reports a bug: ${failures[0]}`);
    if (host.isErased) return;
    this.#compare();
    const isWaiting = this.#sql.exec("SELECT 1 FROM timers LIMIT 1").toArray().length > 0;
    check(!isWaiting || host.alarmMs !== undefined, "what waits for its time has an alarm");
  }

  #compare(): void {
    const { host, model } = this;
    this.#readRecords();
    const [stored] = this.#sql.exec("SELECT record FROM session").toArray();
    check(stored?.record === JSON.stringify(host.parts.state.maybe), "the record that holds is stored");
    model.sees(
      this.#sql
        .exec("SELECT id, status, outcome, errorType, attempts FROM jobs ORDER BY seq")
        .toArray() as unknown as MessageSeen[],
    );
    const open = this.#sql.exec("SELECT channel, jobIds FROM attempts WHERE state <> 'ended'").toArray();
    check(new Set(open.map(({ channel }) => channel)).size === open.length, "a channel has one turn at a time");
    const waiting = "attempt_id NOT IN (SELECT id FROM attempts WHERE state <> 'ended')";
    const left = this.#sql.exec(`SELECT 1 FROM agent_requests WHERE ${waiting}`).toArray();
    check(left.length === 0, "nobody is asked for a turn that has ended");
    const inFlight = open.flatMap(({ jobIds }) => JSON.parse(jobIds as string) as string[]).sort();
    const seen = model.messages.filter(({ status }) => status === "dispatched" || status === "accepted");
    check(
      inFlight.join() ===
        seen
          .map(({ id }) => id)
          .sort()
          .join(),
      "who is in flight has an attempt that is",
    );
  }

  /** Lets everything end, and checks that no message, and then nothing at all, is left over. */
  async finish(): Promise<void> {
    const { host, model } = this;
    host.database.isAway = false;
    if (this.#backend !== undefined) this.#backend.mode = "ok";
    await this.#until(() => host.isErased || (model.queued === 0 && !model.isBusy), "every message ends");
    const isDeleted = host.isErased || host.parts.state.record.deletion !== undefined;
    if (!isDeleted) {
      await this.#request(() => host.agent.terminate(CALLER), true);
      await host.settle();
      await this.#until(() => model.state === "terminated" && this.#isQuiet, "a session ends");
      check(host.database.session?.status === "terminated", "D1 has the session's last state");
      this.#check();
      await host.pass(RETENTION_MS);
    }
    await this.#until(() => host.isErased, "a session is deleted");
    check(host.alarmMs === undefined, "no alarm is left");
    check(host.database.tombstones > 0 && host.database.session === undefined, "D1 has a tombstone, and nothing else");
    this.#checkOutside();
  }

  /** The end of the retention period, epoch ms. */
  get #retainedUntilMs(): number {
    const [row] = this.#sql.exec("SELECT due_ms FROM timers WHERE kind = 'retention'").toArray();
    return (row?.due_ms as number | undefined) ?? Infinity;
  }

  /** Whether nothing is under way but the retention period. */
  get #isQuiet(): boolean {
    const timers = this.#sql.exec("SELECT kind FROM timers").toArray();
    const { broker, parts } = this.host;
    const isRetained = timers.every(({ kind }) => kind === "retention");
    return (
      isRetained &&
      broker.pending === 0 &&
      parts.traces.dueAtMs() === undefined &&
      parts.exporter.dueAtMs() === undefined
    );
  }

  /** Checks what the session has stored, before it is deleted. */
  #onErase(): void {
    try {
      this.#compare();
      this.#checkLast();
    } catch (error) {
      this.host.failures.push(String(error));
    }
  }

  #checkLast(): void {
    check(this.model.state === "terminated", "only a terminated session is deleted");
    check(this.host.database.tombstones > 0, "the tombstone comes first");
    check(this.model.queued === 0 && !this.model.isBusy, "no message is lost by a deletion");
    this.#check(true);
  }

  #check(isDeletion = false): void {
    const { host, model } = this;
    checkSpans(host, model, this.#sql, this.#begun, this.#delivered, this.#isOneClock);
    const mayBeLost = new Map(this.#runners.flatMap((runner) => runner.mayBeLost));
    checkCertificates(host.parts, this.#lost, mayBeLost, this.#backend, isDeletion);
    this.#checkOutside();
  }

  #checkOutside(): void {
    const { host } = this;
    check(host.broker.sandboxes.length === 0, "no sandbox is left");
    check(!host.capacity.holds(SESSION_ID), "no slot is kept");
    check(host.broker.snapshots.size === 0, "no snapshot is left whose id the object has received");
  }

  async #until(isSo: () => boolean, what: string): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.#observe();
      if (isSo()) return;
      await this.#help();
      // Not to the end of the retention period: what is waited for comes before it, and the session is gone after it.
      const { alarmMs = 0 } = this.host;
      const dueMs = alarmMs < this.#retainedUntilMs ? alarmMs : 0;
      await this.#pass(Math.max(ROUND_MS, dueMs - Date.now()));
    }
    check(false, `${what}, in time: ${this.model.state}, ${JSON.stringify(this.model.messages.at(-1))}`);
  }

  /** Lets the broker, the runner and the capacity object do what the object waits for. */
  async #help(): Promise<void> {
    const { host } = this;
    host.capacity.room();
    while (host.broker.pending > 0) {
      host.broker.answer(0, "ok");
      await host.settle();
    }
    const runner = this.#runner;
    if (runner === undefined) return;
    if (!runner.isUp) await runner.connect();
    runner.stage("ready");
    runner.take();
    for (const attemptId of [...runner.working.keys()]) runner.end(attemptId, "ok");
    runner.take();
    await host.settle();
  }
}
