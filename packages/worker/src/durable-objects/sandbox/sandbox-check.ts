/**
 * Asks the broker what has become of the session's sandbox, whenever its runner cannot be heard: after a restart of the host no
 * runner is coming back, and neither the session nor its messages wait for one then.
 *
 * | the broker says | the session runs | it starts |
 * | --- | --- | --- |
 * | running | the grace period decides | the runner's deadline decides |
 * | stopped | put to sleep with its files; a message wakes it | started anew, if the broker's end was the reason |
 * | gone | replaced at once, as after the grace period | the start has failed |
 * | nothing | it is asked again | it is asked again |
 *
 * What the host's restart ended is no failure of the session: no attempt to recover is used up.
 */
import type { SandboxAnswer } from "@valet/shared/protocol/sandbox-broker";
import type { BrokerResult } from "../../sandbox-broker/client.ts";
import { isUnheard } from "./broker-calls.ts";
import type { LifecycleParts } from "./sandbox-lifecycle.ts";

/** What the check may lead to. Called within a transaction. */
export interface SandboxFate {
  /** It has stopped, with its files, and will not run again. */
  onStopped(): void;
  /** It stopped before its runner was ready, since the broker had ended. */
  onStartCut(): void;
  /** The broker does not know it. */
  onGone(): void;
  onGoneWhileStarting(): void;
}

/** A start whose deadline passed while the host was away gets this long for the broker's answer. */
const OVERDUE_START_MS = 10_000;

export class SandboxCheck {
  readonly #parts: LifecycleParts;
  readonly #fate: SandboxFate;
  #isAsking = false;

  constructor(parts: LifecycleParts, fate: SandboxFate) {
    this.#parts = parts;
    this.#fate = fate;
    parts.timers.handle("check", () => this.begin());
  }

  /** Asks, if the sandbox is in doubt. To be called after the object came to life and when the link is down, in a transaction. */
  begin(): void {
    const { state, transactions, background, timers, now } = this.#parts;
    const { sandbox, operation } = state.record;
    if (sandbox === undefined || !this.#isInDoubt) return;
    const isOverdue = operation !== undefined && (timers.dueMs("start") ?? Infinity) <= now();
    if (isOverdue) timers.set("start", now() + OVERDUE_START_MS);
    transactions.afterCommit(() => background(this.#ask(sandbox.id)));
  }

  /** Whether there should be a sandbox whose runner cannot be heard. */
  get #isInDoubt(): boolean {
    const { state, operation, link } = this.#parts.state.record;
    if (state === "running") return link.state !== "connected";
    return operation?.step === "booting" && link.state !== "connected";
  }

  async #ask(sandboxId: string): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { broker, state, transactions, report } = this.#parts;
    try {
      const result = await broker.get(sandboxId, { sessionId: state.record.id, context: undefined });
      transactions.run(() => this.#settle(sandboxId, result));
    } catch (error) {
      report(error);
    } finally {
      this.#isAsking = false;
    }
  }

  #settle(sandboxId: string, result: BrokerResult<SandboxAnswer>): void {
    const { state, timers, now, intervals } = this.#parts;
    // It may have been heard, or replaced, meanwhile.
    if (!this.#isInDoubt || state.record.sandbox?.id !== sandboxId) return;
    const isStarting = state.record.state !== "running";
    if (result.ok) {
      const { state: found, stopReason } = result.value.sandbox;
      if (found !== "stopped") return;
      const endedWithBroker = stopReason === "broker_stopped" || stopReason === "broker_lost";
      if (!isStarting) this.#fate.onStopped();
      else if (endedWithBroker) this.#fate.onStartCut();
    } else if (result.failure === "not_found") {
      if (isStarting) this.#fate.onGoneWhileStarting();
      else this.#fate.onGone();
    } else if (isUnheard(result.failure)) {
      timers.set("check", now() + intervals.retryMs);
    }
  }
}
