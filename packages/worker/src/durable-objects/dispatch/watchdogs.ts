/**
 * The watchdogs of attempts: the runner must accept an attempt in time (`accept`), end an aborted one in time (`abort`), and send
 * frames while it works on one (`stuck`). When a watchdog expires, the attempt ends in the queue without the runner.
 */
import { LIMITS, stuckLimits } from "@valet/shared/limits";
import type { ToRunner } from "@valet/shared/protocol/runner-link";
import type { Intervals } from "../../config.ts";
import type { SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { StopReason } from "../queue/job-store.ts";

/**
 * A timer that fires later than this may have come due while the object stood still with its machine: frames that arrived meanwhile have
 * not been read, so a silence proves nothing yet.
 */
const LATE_MS = 1_000;

export interface WatchdogsOptions {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly link: { send(frame: ToRunner): boolean };
  /** Whether an attempt waits for a person: then it is not stuck. */
  readonly isWaitingForPerson: (attemptId: string) => boolean;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly intervals: Pick<Intervals, "acceptMs" | "abortMs" | "stuckTurnMs">;
  readonly now: () => number;
}

export class Watchdogs {
  readonly #options: WatchdogsOptions;
  readonly timerHandlers: TimerHandlers<"accept" | "abort" | "stuck"> = {
    accept: (attemptId, dueMs) => this.#onNotAccepted(attemptId, Number(dueMs)),
    abort: (attemptId) => void this.#options.queue.end(attemptId, "aborted", undefined),
    stuck: (attemptId, dueMs) => this.#onStuck(attemptId, Number(dueMs)),
  };

  constructor(options: WatchdogsOptions) {
    this.#options = options;
  }

  /** Starts the watchdog for the acceptance of an attempt that is about to be sent. */
  awaitAcceptance(attemptId: string): void {
    const { intervals, now } = this.#options;
    this.#set("accept", attemptId, now() + intervals.acceptMs);
  }

  accepted(attemptId: string): void {
    this.#options.timers.clear("accept", attemptId);
    this.touch(attemptId);
  }

  /** Resets the stuck-turn watchdog of an attempt: a frame about it, or the answer that it waited for, has arrived. */
  touch(attemptId: string): void {
    const { queue, timers, intervals, now } = this.#options;
    if (queue.jobs.attempt(attemptId)?.state !== "accepted") return;
    // The runner's own watchdog expires first; this one is for a runner that is stuck itself.
    const { objectMs, slackMs } = stuckLimits(intervals.stuckTurnMs);
    const dueMs = now() + objectMs;
    // Only the stored timer survives an eviction. It is not written with every frame, to save writes.
    const soonMs = dueMs - slackMs;
    if ((timers.dueMs("stuck", attemptId) ?? 0) < soonMs) this.#set("stuck", attemptId, dueMs);
  }

  /** Asks the runner to abort an attempt. The attempt ends without the runner if that does not answer in time. */
  abort(attemptId: string, reason: StopReason): void {
    const { timers, intervals, now } = this.#options;
    if (timers.dueMs("abort", attemptId) === undefined) {
      timers.set("abort", now() + intervals.abortMs, { key: attemptId });
    }
    this.#sendAfterCommit({ type: "abort", attemptId, reason });
  }

  /** Stops the watchdogs of an attempt that has ended. */
  clear(attemptId: string): void {
    for (const kind of ["accept", "abort", "stuck"] as const) this.#options.timers.clear(kind, attemptId);
  }

  /** @param dueMs when the timer was due, epoch ms; 0 if a version before this one set it */
  #onNotAccepted(attemptId: string, dueMs: number): void {
    const { queue, state } = this.#options;
    if (queue.jobs.attempt(attemptId)?.state !== "dispatched") return;
    // Without a link the runner may have accepted it without saying so: its hello, or the end of the grace period, decides.
    if (state.record.link.state !== "connected" || this.#lateMs(dueMs) > LATE_MS) {
      this.awaitAcceptance(attemptId);
      return;
    }
    // A runner that receives the attempt late finds it aborted.
    this.abort(attemptId, "user_abort");
    queue.takeBack(attemptId, "not_accepted", 0, true);
  }

  /** @param dueMs when the timer was due, epoch ms; 0 if a version before this one set it */
  #onStuck(attemptId: string, dueMs: number): void {
    const { queue, state, isWaitingForPerson, now } = this.#options;
    const lateMs = this.#lateMs(dueMs);
    // A runner without a link may still end the turn by itself.
    if (lateMs > LIMITS.standstillMs || isWaitingForPerson(attemptId) || state.record.link.state !== "connected") {
      this.touch(attemptId);
    } else if (lateMs > LATE_MS) {
      // A runner that stood still with the object says so as soon as it runs again.
      this.#set("stuck", attemptId, now() + LIMITS.standstillMs);
    } else {
      this.#sendAfterCommit({ type: "abort", attemptId, reason: "stuck_turn" });
      queue.end(attemptId, "error", "stuck_turn");
    }
  }

  #set(kind: "accept" | "stuck", attemptId: string, dueMs: number): void {
    this.#options.timers.set(kind, dueMs, { key: attemptId, payload: String(dueMs) });
  }

  /** Returns for how long the object cannot have read frames, at most: its timer fires so late, in ms. */
  #lateMs(dueMs: number): number {
    return dueMs > 0 ? this.#options.now() - dueMs : 0;
  }

  #sendAfterCommit(frame: ToRunner): void {
    const { link, transactions } = this.#options;
    transactions.afterCommit(() => link.send(frame));
  }
}
