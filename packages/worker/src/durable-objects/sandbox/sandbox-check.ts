/**
 * Asks the broker what has become of the session's sandbox, whenever its runner cannot be heard: after a restart of the host no
 * runner is coming back, and neither the session nor its messages wait for one then.
 *
 * | the broker says | the session runs | it starts |
 * | --- | --- | --- |
 * | running | the grace period decides: after it, put to sleep with its files, to be woken if it is needed | it is asked again; at last the runner's deadline decides |
 * | stopped | put to sleep with its files; a message wakes it | started anew, if the broker's end was the reason; else the start has failed, for the broker's reason |
 * | gone | replaced at once, as after the grace period | the start has failed |
 * | nothing, or an error | it is asked again | it is asked again |
 *
 * What the host's restart ended is no failure of the session: no attempt to recover is used up.
 */

import type { SandboxAnswer } from "@valet/shared/protocol/sandbox-broker";
import { cutEnd } from "@valet/shared/text";
import type { BrokerResult } from "../../broker/client.ts";
import type { TimerHandlers } from "../core/timers.ts";
import { START_CHECK_MS } from "./lifecycle-rules.ts";
import type { SandboxParts } from "./ports.ts";
import type { SandboxEnd } from "./sandbox-end.ts";
import type { SandboxStart } from "./sandbox-start.ts";

/** Of a log's line, in UTF-16 code units. */
const MAX_LOG_LINE = 300;
/** A start whose deadline passed while the host was away gets this long for the broker's answer, once. */
const OVERDUE_START_MS = 10_000;
/** While the host is there, its alarm comes sooner after the deadline than this. */
const ALARM_DELAY_MS = 1_000;

export class SandboxCheck {
  readonly #parts: SandboxParts;
  readonly #start: Pick<SandboxStart, "startAnew" | "fail" | "lost">;
  readonly #end: Pick<SandboxEnd, "keep">;
  #isAsking = false;
  readonly timerHandlers: TimerHandlers<"check"> = { check: () => this.begin() };

  constructor(
    parts: SandboxParts,
    start: Pick<SandboxStart, "startAnew" | "fail" | "lost">,
    end: Pick<SandboxEnd, "keep">,
  ) {
    this.#parts = parts;
    this.#start = start;
    this.#end = end;
  }

  /** Asks after the object came to life. The host may have been away until now. To be called in a transaction. */
  resume(): void {
    const { state, timers, now } = this.#parts;
    const { operation } = state.record;
    const dueMs = timers.dueMs("start");
    const isOverdue = dueMs !== undefined && dueMs + ALARM_DELAY_MS < now();
    // Whether its link has lived through that is not known yet.
    if (operation?.step === "booting" && isOverdue && operation.isPutOff !== true) {
      state.updateOperation({ isPutOff: true });
      timers.set("start", now() + OVERDUE_START_MS);
    }
    this.begin();
  }

  /** Asks, if the sandbox is in doubt. To be called when the link is down, in a transaction. A start's deadline stays as it is. */
  begin(): void {
    const { state, transactions, background } = this.#parts;
    const { sandbox } = state.record;
    if (sandbox === undefined || !this.#isInDoubt) return;
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
      const { state: found, stopReason, lastLogLine } = result.value.sandbox;
      if (found !== "stopped") {
        if (isStarting) timers.set("check", now() + START_CHECK_MS);
        else if (timers.dueMs("grace") === undefined) this.#end.keep("runner_lost");
      } else if (!isStarting) this.#end.keep("sandbox_stopped");
      else if (stopReason === "entrypoint_ended" || stopReason === "entrypoint_failed") {
        this.#start.fail(stopReason, { logLine: lastLogLine && cutEnd(lastLogLine, MAX_LOG_LINE) });
      } else this.#start.startAnew();
    } else if (result.failure === "not_found") {
      if (isStarting) this.#start.fail("sandbox_gone");
      else this.#start.lost();
    } else {
      timers.set("check", now() + intervals.retryMs);
    }
  }
}
