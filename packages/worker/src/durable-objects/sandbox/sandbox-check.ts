/**
 * Asks the broker for the state of the session's sandbox whenever its runner is not connected. After a restart of the host no
 * runner comes back, so neither the session nor its messages wait for one.
 *
 * | the broker says | the session is running | the session is starting |
 * | --- | --- | --- |
 * | running | the session hibernates with its files after the grace period; a message wakes it | the object asks again, until the start's deadline |
 * | stopped | the session hibernates with its files; a message wakes it | the start continues with another sandbox if the broker's end was the reason; else it fails, for the broker's reason |
 * | gone | the sandbox is replaced at once, as after the grace period | the start fails |
 * | nothing, or an error | the object asks again | the object asks again |
 *
 * A restart of the host is no failure of the session: it uses up no attempt to recover.
 */

import type { SandboxAnswer, StopReason } from "@valet/shared/protocol/sandbox-broker";
import type { ErrorType } from "@valet/shared/spans";
import { cutEnd } from "@valet/shared/text";
import type { BrokerResult } from "../../broker/client.ts";
import type { TimerHandlers } from "../core/timers.ts";
import { START_CHECK_MS } from "./lifecycle-rules.ts";
import type { SandboxParts } from "./ports.ts";
import type { SandboxEnd } from "./sandbox-end.ts";
import type { SandboxStart } from "./sandbox-start.ts";

/** The longest log line that is kept, in UTF-16 code units. */
const MAX_LOG_LINE = 300;
/** A start whose deadline passed while the host was down waits this long for the broker's answer, once. */
const OVERDUE_START_MS = 10_000;
/** While the host is up, its alarm fires sooner after the deadline than this. */
const ALARM_DELAY_MS = 1_000;

export class SandboxCheck {
  readonly #parts: SandboxParts;
  readonly #start: Pick<SandboxStart, "startAnew" | "fail" | "lost">;
  readonly #end: Pick<SandboxEnd, "hibernateWithoutRunner">;
  #isAsking = false;
  readonly timerHandlers: TimerHandlers<"check"> = { check: () => this.begin() };

  constructor(
    parts: SandboxParts,
    start: Pick<SandboxStart, "startAnew" | "fail" | "lost">,
    end: Pick<SandboxEnd, "hibernateWithoutRunner">,
  ) {
    this.#parts = parts;
    this.#start = start;
    this.#end = end;
  }

  /** Asks the broker when the object starts, since the host may have been down until now. Call it within a transaction. */
  resume(): void {
    const { state, timers, now } = this.#parts;
    const { operation } = state.record;
    const dueMs = timers.dueMs("start");
    const isOverdue = dueMs !== undefined && dueMs + ALARM_DELAY_MS < now();
    // It is not known yet whether the link survived.
    if (operation?.step === "booting" && isOverdue && operation.isPutOff !== true) {
      state.updateOperation({ isPutOff: true });
      timers.set("start", now() + OVERDUE_START_MS);
    }
    this.begin();
  }

  /** Asks the broker if the sandbox is in doubt. Call it when the link is down, within a transaction. A start's deadline stays. */
  begin(): void {
    const { state, transactions, background } = this.#parts;
    const { sandbox } = state.record;
    if (sandbox === undefined || !this.#isInDoubt) return;
    transactions.afterCommit(() => background(this.#ask(sandbox.id)));
  }

  /** Whether there should be a sandbox whose runner is not connected. */
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
    // Meanwhile the runner may have connected, or the sandbox may have been replaced.
    if (!this.#isInDoubt || state.record.sandbox?.id !== sandboxId) return;
    const isStarting = state.record.state !== "running";
    if (result.ok) {
      const { state: found, stopReason, lastLogLine } = result.value.sandbox;
      if (found !== "stopped") {
        if (isStarting) timers.set("check", now() + START_CHECK_MS);
        else if (timers.dueMs("grace") === undefined) this.#end.hibernateWithoutRunner("runner_lost");
      } else if (!isStarting) this.#end.hibernateWithoutRunner("sandbox_stopped", causeOf(stopReason));
      else if (stopReason === "out_of_memory") this.#start.fail("sandbox_out_of_memory");
      else if (stopReason === "entrypoint_ended" || stopReason === "entrypoint_failed") {
        this.#start.fail(stopReason, { logLine: lastLogLine && cutEnd(lastLogLine, MAX_LOG_LINE) });
      } else this.#start.startAnew();
    } else if (result.failure === "not_found") {
      if (isStarting) this.#start.fail("sandbox_gone");
      else this.#start.lost("sandbox_gone");
    } else {
      timers.set("check", now() + intervals.retryMs);
    }
  }
}

/** Returns what ended a sandbox with its runner, where the broker knows it. */
function causeOf(stopReason: StopReason | undefined): ErrorType | undefined {
  return stopReason === "out_of_memory" ? "sandbox_out_of_memory" : stopReason;
}
