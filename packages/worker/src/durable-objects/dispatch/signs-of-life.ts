/**
 * When a runner that works was last heard: stored now and then, so that what it had open can be ended there should both it and
 * the object be killed. The longer the work, the rarer: what is lost is a quarter of its time at the most, and never more than
 * ten seconds.
 */

import type { SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { EndedRunners, RunnerLink } from "../link/runner-link.ts";

export interface SignsOfLifeOptions {
  readonly state: SessionState;
  readonly timers: Timers;
  readonly link: Pick<RunnerLink, "lastSeenMs">;
  readonly traces: {
    touch(instanceId: string, seenMs?: number): void;
    lastSeenMs(instances: readonly string[]): number | undefined;
  };
  readonly work: { readonly isBusy: boolean };
  readonly now: () => number;
}

const MIN_MS = 1_000;
const MAX_MS = 10_000;
/** Of the time that the work takes already, how much passes until the next sign is stored. */
const SHARE = 1 / 4;

export class SignsOfLife {
  readonly #options: SignsOfLifeOptions;
  /** Whether the timer that is set is of the work under way. Lost with the memory; then it begins anew. */
  #isWatching = false;
  readonly timerHandlers: TimerHandlers<"sign"> = { sign: (_key, sinceMs) => this.#note(Number(sinceMs)) };

  constructor(options: SignsOfLifeOptions) {
    this.#options = options;
  }

  /**
   * Begins, or goes on, to store signs as long as there is work in the runner's hands. To be called with every change of that. The
   * timer of work that has ended is left to lapse: to clear it would cost each short turn a write.
   */
  watch(isWorking: boolean): void {
    const { timers, now } = this.#options;
    if (isWorking && (!this.#isWatching || timers.dueMs("sign") === undefined)) this.#arm(now());
    this.#isWatching = isWorking;
  }

  /**
   * When whoever worked was last heard, epoch ms; now, where nothing is known.
   * @param exceptInstanceId a runner that has taken the place of those that are asked about
   */
  lastMs(exceptInstanceId?: string): number {
    const { state, link, traces, now } = this.#options;
    const instances = state.record.link.instances.filter((id) => id !== exceptInstanceId);
    const live = instances.map((id) => link.lastSeenMs(id) ?? 0);
    return Math.min(now(), Math.max(traces.lastSeenMs(instances) ?? 0, ...live) || now());
  }

  /** When the runners of a generation that has ended were last heard, epoch ms; now, where nothing is known. Stores that. */
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
  #note(sinceMs: number): void {
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
