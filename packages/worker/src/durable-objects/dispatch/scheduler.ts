/** Dispatches every job that may run now, records why the others wait, and starts a sandbox if the session has none. */
import type { ToRunner } from "@valet/shared/protocol/runner-link";
import type { QueueReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { Intervals } from "../../config.ts";
import { isRunnerReady, type SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { JobRow, QueuedJob } from "../queue/job-store.ts";
import type { CapacityLine } from "../queue/job-view.ts";
import { type BatchLimits, planQueue, type WaitingJob } from "../queue/queue-rules.ts";
import type { SandboxLifecycle } from "../sandbox/sandbox-lifecycle.ts";
import { type DispatchSettings, promptFrame, workflowFrame } from "./frames.ts";
import type { SignsOfLife } from "./signs-of-life.ts";
import type { Watchdogs } from "./watchdogs.ts";

/** Returns the context with which an attempt in a channel begins; the room `conversation` implements it. */
export interface ChannelMemory {
  contextOf(channel: string, generation: number): Pick<DispatchSettings, "opencodeSessionId" | "continuationContext">;
}

export interface SchedulerOptions {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly line: CapacityLine;
  readonly lifecycle: Pick<SandboxLifecycle, "start">;
  readonly channels: ChannelMemory;
  readonly link: { send(frame: ToRunner): boolean };
  readonly watchdogs: Watchdogs;
  readonly signs: Pick<SignsOfLife, "watch">;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly intervals: Pick<Intervals, "queueWatchdogMs">;
  readonly limits: BatchLimits;
  readonly now: () => number;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly timerHandlers: TimerHandlers<"collect" | "queue"> = {
    collect: () => this.pump(),
    queue: () => this.pump(),
  };

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Dispatches every job that may run now. Runs within every transaction that changed anything. */
  pump(): void {
    const { state, queue, line, limits, now } = this.#options;
    const waiting = queue.waiting();
    if (waiting.length > 0) this.#wake(waiting);
    const busy = new Set(queue.inFlight().map(({ channel }) => channel));
    const { link, state: session, recovery } = state.record;
    const runnerReady = isRunnerReady(link);
    const wasReady = recovery.readyMs > 0;
    const isInLine = line.place !== undefined;
    const plan = planQueue(waiting, { state: session, wasReady, runnerReady, isInLine, busy }, limits, now());
    for (const { channel, messages } of plan.dispatches) this.#dispatch(channel, messages);
    this.#recordReasons(waiting, plan.reasons);
    this.#setTimers(plan.dueMs, plan.reasons.size > 0, busy.size + plan.dispatches.length > 0);
  }

  /** Records the session's new place in the line for a sandbox on the next job of each channel. */
  onPlace(place: number): void {
    const { queue } = this.#options;
    const channels = new Set<string>();
    for (const { id, channel, reason } of queue.waiting()) {
      if (reason === "capacity" && !channels.has(channel)) queue.placed(id, place);
      channels.add(channel);
    }
  }

  /**
   * Since when the session has been idle, epoch ms; `undefined` while a job is queued or running, or the runner is not ready. A
   * turn that waits for a person's answer is running.
   */
  get idleSinceMs(): number | undefined {
    const { state, timers } = this.#options;
    const { link, idleTimeoutMs } = state.record;
    const dueMs = isRunnerReady(link) ? timers.dueMs("idle") : undefined;
    return dueMs === undefined ? undefined : dueMs - idleTimeoutMs;
  }

  /** Starts a sandbox if jobs wait in a session that has none. */
  #wake(waiting: readonly QueuedJob[]): void {
    const { state, queue, lifecycle } = this.#options;
    const { state: session } = state.record;
    if (session !== "hibernated" && session !== "error") return;
    const rows = waiting.map(({ id }) => queue.jobs.job(id) as JobRow);
    const causes = rows.map(({ context }) => context);
    const userId = rows[0]?.userId ?? undefined;
    const { kind, id = "" } = waiting[0] ?? {};
    const job = kind === "workflow" ? { executionId: id } : { messageId: id };
    lifecycle.start({ reason: "message_waiting", causes, userId, ...job });
  }

  #dispatch(channel: string, jobs: readonly WaitingJob[]): void {
    const { state, queue, channels, watchdogs, transactions, link } = this.#options;
    const { generation, model, models } = state.record;
    const settings = { model, models, ...channels.contextOf(channel, generation) };
    const ids = jobs.map(({ id }) => id);
    const begun = queue.dispatch(ids, generation);
    const [{ id, kind }] = begun.jobs;
    const frame =
      kind === "workflow"
        ? workflowFrame(begun, queue.jobs.workflow(id), settings)
        : promptFrame(
            begun,
            ids.map((each) => queue.jobs.message(each)),
            settings,
          );
    const attemptId = begun.attempt.id;
    watchdogs.awaitAcceptance(attemptId);
    transactions.afterCommit(() => {
      if (!link.send(frame)) transactions.run(() => queue.takeBack(attemptId, "send_failed", 0));
    });
  }

  /** Records why each queued job waits, and for which operation or turn. */
  #recordReasons(waiting: readonly QueuedJob[], reasons: ReadonlyMap<string, QueueReason>): void {
    const { state, queue, line } = this.#options;
    const { operation, snapshot } = state.record;
    const turns = new Map(queue.inFlight().map(({ channel, context }) => [channel, context]));
    const inFront = new Set<string>();
    for (const job of waiting) {
      const { channel } = job;
      const reason = reasons.get(job.id);
      if (reason === undefined) continue;
      const on: { readonly [R in QueueReason]?: SpanContext | undefined } = {
        runner_busy: turns.get(channel),
        system_message: turns.get(channel),
        sandbox_starting: operation?.context,
        initial_prompt: operation?.context,
        capacity: operation?.context,
        sandbox_restoring: operation?.context,
        sandbox_hibernated: operation?.context ?? snapshot?.madeBy,
      };
      // Only the next job gets a new link with each turn: if all did, each turn would cost a write for every job.
      queue.waitFor(job, reason, on[reason], !inFront.has(channel), line.place);
      inFront.add(channel);
    }
  }

  #setTimers(nextDueMs: number | undefined, isWaiting: boolean, isBusy: boolean): void {
    const { state, timers, signs, intervals, now } = this.#options;
    if (nextDueMs === undefined) timers.clear("collect");
    else timers.set("collect", nextDueMs);
    this.#keepTimer("queue", isWaiting, now() + intervals.queueWatchdogMs);
    const { state: session, idleTimeoutMs } = state.record;
    this.#keepTimer("idle", session === "running" && !isWaiting && !isBusy, now() + idleTimeoutMs);
    signs.watch(isBusy);
  }

  /** Sets a timer when its condition begins to hold, and clears it when the condition ends. */
  #keepTimer(kind: "queue" | "idle", holds: boolean, dueMs: number): void {
    const { timers } = this.#options;
    if (!holds) timers.clear(kind);
    else if (timers.dueMs(kind) === undefined) timers.set(kind, dueMs);
  }
}
