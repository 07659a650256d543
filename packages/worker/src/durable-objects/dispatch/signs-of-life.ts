/**
 * Stores from time to time when the last frame of a working runner arrived. If runner and object are both killed, the runner's open
 * spans end at that time. The longer the work, the longer the interval: at most a quarter of its duration is lost, and never more
 * than ten seconds.
 */

import type { SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { EndedRunners } from "../link/link-event.ts";
import type { RunnerLink } from "../link/runner-link.ts";

export interface SignsOfLifeOptions {
  readonly state: SessionState;
  readonly timers: Timers;
  readonly link: Pick<RunnerLink, "lastSeenMs">;
  readonly traces: {
    touch(instanceId: string, seenMs?: number): void;
    lastSeenMs(instances: readonly string[]): number | undefined;
  };
  readonly work: { readonly isBusy: boolean };
  readonly transactions: Pick<Transactions, "onRollback">;
  readonly now: () => number;
}

const MIN_MS = 1_000;
const MAX_MS = 10_000;
/** The interval until the next sign is stored, as a share of the work's duration so far. */
const SHARE = 1 / 4;

export class SignsOfLife {
  readonly #options: SignsOfLifeOptions;
  /** Whether the timer was set for the current work. Not stored: after an eviction the interval starts again. */
  #isWatching = false;
  readonly timerHandlers: TimerHandlers<"sign"> = { sign: (_key, sinceMs) => this.#onTimer(Number(sinceMs)) };

  constructor(options: SignsOfLifeOptions) {
    this.#options = options;
  }

  /**
   * Stores signs as long as the runner works. Called whenever that changes. The timer of work that has ended is not cleared, but
   * left to expire: clearing it would cost each short turn a write.
   */
  watch(isWorking: boolean): void {
    const { timers, transactions, now } = this.#options;
    const wasWatching = this.#isWatching;
    if (wasWatching !== isWorking) {
      transactions.onRollback(() => {
        this.#isWatching = wasWatching;
      });
    }
    if (isWorking && (!this.#isWatching || timers.dueMs("sign") === undefined)) this.#arm(now());
    this.#isWatching = isWorking;
  }

  /**
   * Returns when the last frame of the generation's runners arrived, epoch ms; now, if that is unknown.
   * @param exceptInstanceId the runner that has replaced them, which does not count
   */
  lastMs(exceptInstanceId?: string): number {
    const { state, link, traces, now } = this.#options;
    const instances = state.record.link.instances.filter((id) => id !== exceptInstanceId);
    const live = instances.map((id) => link.lastSeenMs(id) ?? 0);
    return Math.min(now(), Math.max(traces.lastSeenMs(instances) ?? 0, ...live) || now());
  }

  /** Returns when the last frame of an ended generation's runners arrived, epoch ms; now, if that is unknown. Stores it. */
  lastOf({ instances, instanceId, lastSeenMs }: EndedRunners): number {
    const { traces, now } = this.#options;
    if (instanceId !== undefined && lastSeenMs !== undefined) traces.touch(instanceId, lastSeenMs);
    return Math.min(now(), Math.max(traces.lastSeenMs(instances) ?? 0, lastSeenMs ?? 0) || now());
  }

  /** Stores the last sign of the runner that has the link. */
  #store(): void {
    const { state, link, traces } = this.#options;
    const { instanceId } = state.record.link;
    const seenMs = instanceId === undefined ? undefined : link.lastSeenMs(instanceId);
    if (instanceId !== undefined && seenMs !== undefined) traces.touch(instanceId, seenMs);
  }

  /** @param sinceMs when the work began, epoch ms */
  #onTimer(sinceMs: number): void {
    if (!this.#options.work.isBusy) return;
    this.#store();
    this.#arm(sinceMs);
  }

  #arm(sinceMs: number): void {
    const { timers, now } = this.#options;
    const delayMs = Math.min(Math.max((now() - sinceMs) * SHARE, MIN_MS), MAX_MS);
    timers.set("sign", now() + delayMs, { payload: String(sinceMs) });
  }
}
