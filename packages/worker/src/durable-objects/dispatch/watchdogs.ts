/**
 * The timers that watch over attempts: for the runner to accept one (`accept`), to end one that it was asked to abort (`abort`), and
 * to give signs of life while it works on one (`stuck`). What they find out, they put right in the queue.
 */
import type { ToRunner } from "@valet/shared/protocol/runner-link";
import type { Intervals } from "../../config.ts";
import type { SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { StopReason } from "../queue/job-store.ts";

/** The runner's own watchdog comes first; this one is for a runner that is stuck itself. */
const STUCK_FACTOR = 2;

export interface WatchdogsOptions {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly link: { send(frame: ToRunner): boolean };
  /** Whether an attempt waits for a person, so that its silence is no sign of trouble. */
  readonly isWaitingForPerson: (attemptId: string) => boolean;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly intervals: Pick<Intervals, "acceptMs" | "abortMs" | "stuckTurnMs">;
  readonly now: () => number;
}

export class Watchdogs {
  readonly #options: WatchdogsOptions;
  readonly timerHandlers: TimerHandlers<"accept" | "abort" | "stuck"> = {
    accept: (attemptId) => this.#onNotAccepted(attemptId),
    abort: (attemptId) => void this.#options.queue.end(attemptId, "aborted", undefined),
    stuck: (attemptId) => this.#onStuck(attemptId),
  };

  constructor(options: WatchdogsOptions) {
    this.#options = options;
  }

  /** An attempt is about to be sent: the runner has to accept it in time. */
  awaitAcceptance(attemptId: string): void {
    const { timers, intervals, now } = this.#options;
    timers.set("accept", now() + intervals.acceptMs, { key: attemptId });
  }

  accepted(attemptId: string): void {
    this.#options.timers.clear("accept", attemptId);
    this.touch(attemptId);
  }

  /** Resets the stuck-turn watchdog of an attempt: it has shown a sign of life, or has the answer that it waited for. */
  touch(attemptId: string): void {
    const { queue, timers, intervals, now } = this.#options;
    if (queue.jobs.attempt(attemptId)?.state !== "accepted") return;
    const dueMs = now() + STUCK_FACTOR * intervals.stuckTurnMs;
    // The timer is all that is known after an eviction. A frame is not worth a write each time.
    const soonMs = dueMs - intervals.stuckTurnMs / 10;
    if ((timers.dueMs("stuck", attemptId) ?? 0) < soonMs) timers.set("stuck", dueMs, { key: attemptId });
  }

  /** Tells the runner to abort an attempt, which ends without it if it gives no answer in time. */
  abort(attemptId: string, reason: StopReason): void {
    const { timers, intervals, now } = this.#options;
    if (timers.dueMs("abort", attemptId) === undefined) {
      timers.set("abort", now() + intervals.abortMs, { key: attemptId });
    }
    this.#sendAfterCommit({ type: "abort", attemptId, reason });
  }

  /** An attempt is over: nothing watches over it any more. */
  clear(attemptId: string): void {
    for (const kind of ["accept", "abort", "stuck"] as const) this.#options.timers.clear(kind, attemptId);
  }

  #onNotAccepted(attemptId: string): void {
    const { queue, state, timers, intervals, now } = this.#options;
    if (queue.jobs.attempt(attemptId)?.state !== "dispatched") return;
    if (state.record.link.state !== "connected") {
      // The runner may have it and cannot say so: its hello, or the end of the grace period, will tell.
      timers.set("accept", now() + intervals.acceptMs, { key: attemptId });
      return;
    }
    // Should it come to it after all, it finds it aborted.
    this.abort(attemptId, "user_abort");
    queue.takeBack(attemptId, "not_accepted", 0, true);
  }

  #onStuck(attemptId: string): void {
    const { queue, state, isWaitingForPerson } = this.#options;
    // A runner that is away may end the turn by itself.
    if (isWaitingForPerson(attemptId) || state.record.link.state !== "connected") {
      this.touch(attemptId);
    } else {
      this.#sendAfterCommit({ type: "abort", attemptId, reason: "stuck_turn" });
      queue.end(attemptId, "error", "stuck_turn");
    }
  }

  #sendAfterCommit(frame: ToRunner): void {
    const { link, transactions } = this.#options;
    transactions.afterCommit(() => link.send(frame));
  }
}
