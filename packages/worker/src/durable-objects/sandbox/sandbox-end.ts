/**
 * Ends sandboxes: hibernates them into a snapshot, or terminates them with the session. The snapshot is taken before the runner is
 * stopped, since with some engines a sandbox ends with its main process. Work that arrives before the runner is stopped keeps the
 * session awake.
 */

import type { DeleteAnswer, SnapshotAnswer } from "@valet/shared/protocol/sandbox-broker";
import type { ErrorType, HibernateReason, SpanAttributes, TerminateReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { BrokerFailure } from "../../broker/client.ts";
import type { Asker } from "../core/asker.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import { isRunnerReady } from "../core/session-state.ts";
import type { TimerHandlers } from "../core/timers.ts";
import { brokerErrorType } from "./broker-calls.ts";
import { sleepRetryMs } from "./lifecycle-rules.ts";
import type { SandboxParts } from "./ports.ts";
import type { SandboxStart } from "./sandbox-start.ts";
import { isInUse } from "./sleep-retry.ts";

export class SandboxEnd {
  readonly #parts: SandboxParts;
  readonly #start: Pick<SandboxStart, "begin">;
  readonly timerHandlers: TimerHandlers<"stop" | "idle" | "sleep"> = {
    stop: () => this.onRunnerStopped(),
    idle: () => this.#onIdle(),
    sleep: () => this.#retryHibernate(),
  };

  /** @param start begins the next sandbox if the session is needed again before it hibernates */
  constructor(parts: SandboxParts, start: Pick<SandboxStart, "begin">) {
    this.#parts = parts;
    this.#start = start;
  }

  /** Begins a hibernate. Idempotent. */
  hibernate(reason: HibernateReason, asker?: Asker): Result<void> {
    const { state, work, record } = this.#parts;
    const { state: now } = state.record;
    if (now === "hibernating" || now === "hibernated") return ok(undefined);
    if (!state.allows("hibernate")) return refuse("transition-refused", `A session that is ${now} cannot hibernate.`);
    if (work.isBusy) return refuse("session-busy", "A turn is running: wait until it ends, or abort it.");
    record({ type: "hibernating" });
    this.#beginHibernate({ "valet.hibernate.reason": reason }, asker);
    return ok(undefined);
  }

  /**
   * Hibernates a session whose sandbox has stopped by itself, or whose runner is lost, while the sandbox's files exist: the session
   * keeps them until it is needed.
   * @param cause why the runner could not work, if it reported that
   */
  hibernateWithoutRunner(reason: "sandbox_stopped" | "runner_lost", cause?: ErrorType): void {
    const { state, record, link } = this.#parts;
    if (!state.allows("hibernate")) return;
    // After a hibernate that failed they have ended already.
    if (state.record.link.state !== "gone") record({ type: "runners-ended", runners: link.end(), cause });
    this.#beginHibernate({ "valet.hibernate.reason": reason, "valet.error.cause": cause });
  }

  /** Begins the operation, and asks the broker for its snapshot. */
  #beginHibernate(why: SpanAttributes<"valet.sandbox.hibernate">, { userId, context }: Asker = {}): void {
    const { state, operations } = this.#parts;
    const { sandbox, startContext } = state.record;
    operations.begin(
      {
        kind: "hibernate",
        step: "snapshotting",
        attributes: {
          ...why,
          "valet.sandbox.id": sandbox?.id,
          "valet.sandbox.driver": sandbox?.driver,
        },
        userId,
        causes: context === undefined ? [] : [context],
        follows: [startContext],
      },
      () => ({}),
    );
    this.snapshot();
  }

  /** Hibernates after the idle timeout, unless a failed hibernate waits for its retry. */
  #onIdle(): void {
    const { state, now } = this.#parts;
    if ((state.record.sleepProblem?.retryMs ?? 0) <= now()) this.hibernate("idle_timeout");
  }

  /**
   * Retries a failed hibernate, unless the session has work. After work since the failure the session is in use: the idle timeout,
   * which runs from the end of that work, hibernates it, unless that timeout has passed already.
   */
  #retryHibernate(): void {
    const { state, work, timers } = this.#parts;
    const { sleepProblem } = state.record;
    if (sleepProblem === undefined || work.hasWork) return;
    if (!isInUse(sleepProblem, work, timers)) this.hibernate("retry");
  }

  /** Begins to terminate the session, in any state. Aborts the current operation. @param userId who asked for it, if a person did */
  terminate(reason: TerminateReason, causes: readonly SpanContext[], userId?: string): void {
    const { state, operations, timers, record } = this.#parts;
    if (!state.allows("terminate")) return;
    const { sandbox, startContext, operation } = state.record;
    if (operation !== undefined) operations.end("aborted", "session_terminated");
    for (const timer of ["start", "recover", "stop", "sleep"] as const) timers.clear(timer);
    operations.begin(
      {
        kind: "terminate",
        step: "stopping",
        attributes: {
          "valet.terminate.reason": reason,
          "valet.sandbox.id": sandbox?.id,
          "valet.sandbox.driver": sandbox?.driver,
        },
        userId,
        causes,
        follows: [startContext],
      },
      (context) => ({
        errorType: undefined,
        failure: undefined,
        sleepProblem: undefined,
        endContext: context,
        endedBy: userId,
      }),
    );
    record({ type: "terminating", asker: { userId, context: causes[0] } });
    this.#stopRunner("terminate");
  }

  /** Asks the broker for a snapshot. */
  snapshot(): void {
    const { state, operations, calls, broker, watch, intervals } = this.#parts;
    const { id: sessionId, sandbox } = state.record;
    const operation = operations.current;
    if (operation === undefined || sandbox === undefined) return;
    watch(intervals.snapshotMs);
    calls.begin<"valet.sandbox.snapshot", SnapshotAnswer>({
      span: "valet.sandbox.snapshot",
      parent: operation.context,
      attributes: {
        "valet.broker.call": "snapshot",
        "valet.sandbox.id": sandbox.id,
        "valet.sandbox.driver": sandbox.driver,
      },
      perform: (context) => broker.snapshot(sandbox.id, { sessionId, context }),
      judge: (result) => {
        if (!result.ok) return { outcome: "error", errorType: snapshotErrorType(result.failure) };
        const { snapshotId, sizeBytes, leftOut } = result.value;
        return {
          outcome: "ok",
          attributes: {
            "valet.snapshot.id": snapshotId,
            "valet.snapshot.size_bytes": sizeBytes,
            "valet.snapshot.left_out_count": leftOut,
          },
        };
      },
      settle: (result) => {
        if (operations.current?.id !== operation.id || operations.current.step !== "snapshotting") {
          if (result.ok) this.#parts.orphans.addSnapshot(result.value.snapshotId, operation.context);
        } else if (result.ok) {
          this.#onSnapshot(result.value, operation.context);
        } else {
          this.#onNoSnapshot(snapshotErrorType(result.failure), result.detail, operation.context);
        }
      },
    });
  }

  /** Ends the sandbox: its runner reported that it has stopped, or disconnected, or did neither in time. */
  onRunnerStopped(): void {
    const { operations, timers, state, link } = this.#parts;
    if (operations.current?.step !== "stopping") return;
    timers.clear("stop");
    link.end();
    state.update({ tokenHash: undefined });
    state.updateOperation({ step: "deleting" });
    this.delete();
  }

  /** Asks the broker to end the sandbox. */
  delete(): void {
    const { state, operations, calls, broker, orphans, watch } = this.#parts;
    const { id: sessionId, sandbox, snapshot } = state.record;
    const operation = operations.current;
    if (operation === undefined) return;
    if (sandbox === undefined) {
      this.#finish(undefined);
      return;
    }
    watch();
    calls.begin<"valet.sandbox.delete", DeleteAnswer>({
      span: "valet.sandbox.delete",
      parent: operation.context,
      attributes: {
        "valet.broker.call": "terminate",
        "valet.sandbox.id": sandbox.id,
        "valet.sandbox.driver": sandbox.driver,
      },
      perform: (context) => broker.terminate(sandbox.id, snapshot?.id ?? "", { sessionId, context }),
      judge: (result) =>
        result.ok ? { outcome: "ok" } : { outcome: "error", errorType: brokerErrorType(result.failure) },
      settle: (result) => {
        // The session does not wait for a broker that is down: the orphan is ended when it is back.
        if (!result.ok) orphans.addSandbox(sandbox, operation.context);
        if (operations.current?.id === operation.id)
          this.#finish(result.ok ? undefined : brokerErrorType(result.failure));
      },
    });
  }

  #onSnapshot({ snapshotId, leftOut = 0 }: SnapshotAnswer, madeBy: SpanContext): void {
    const { state, operations, orphans, work, timers } = this.#parts;
    const { snapshot, link } = state.record;
    timers.clear("sleep");
    if (snapshot !== undefined && snapshot.id !== snapshotId) orphans.addSnapshot(snapshot.id, madeBy);
    state.update({
      snapshot: { id: snapshotId, madeBy, ...(leftOut > 0 && { leftOut }) },
      sleepProblem: undefined,
    });
    operations.change<"hibernate">((span) => span.setAttributes({ "valet.snapshot.id": snapshotId }));
    const isWanted = work.hasWork || operations.current?.wakeAfter !== undefined;
    if (isWanted && isRunnerReady(link)) {
      operations.end("skipped", "session_busy");
      state.enter("stay_awake");
    } else {
      state.updateOperation({ step: "stopping" });
      this.#stopRunner("hibernate");
    }
  }

  /** Ends the session if its sandbox is gone. Otherwise the session stays awake, since no file of a sandbox may be lost. */
  #onNoSnapshot(errorType: SnapshotError, detail: string | undefined, hibernate: SpanContext): void {
    const { state, operations, link, timers, now, intervals } = this.#parts;
    operations.end("error", errorType);
    if (errorType === "sandbox_gone") {
      this.terminate(errorType, [hibernate]);
      return;
    }
    const { failures = 0, sinceMs = now() } = state.record.sleepProblem ?? {};
    const retryMs = now() + sleepRetryMs(failures + 1);
    state.enter("stay_awake", {
      sleepProblem: {
        errorType,
        failures: failures + 1,
        sinceMs,
        retryMs,
        ...(detail !== undefined && { detail }),
      },
    });
    timers.set("sleep", retryMs);
    link.want();
    // Without a runner there is no reason to stay awake: the object asks the broker for the sandbox's state again, soon if the
    // broker was down.
    const isAway = errorType === "broker_unreachable" || errorType === "broker_timeout";
    if (state.record.link.state === "gone") timers.set("check", isAway ? now() + intervals.retryMs : retryMs);
  }

  #stopRunner(reason: "hibernate" | "terminate"): void {
    const { state, timers, now, intervals, record, watch } = this.#parts;
    if (state.record.link.state !== "connected") {
      this.onRunnerStopped();
      return;
    }
    watch();
    timers.set("stop", now() + intervals.stopMs);
    record({ type: "stop-runner", reason });
  }

  #finish(errorType: ReturnType<typeof brokerErrorType> | undefined): void {
    const { state, operations, record, orphans, timers, endGeneration } = this.#parts;
    const operation = operations.current;
    if (operation === undefined) return;
    timers.clear("operation");
    // A sandbox that could not be deleted is an orphan by now: the session no longer owns it.
    state.update({ sandbox: undefined });
    endGeneration(operation.context, operation.kind === "hibernate");
    if (operation.kind === "hibernate") {
      operations.end("ok");
      state.enter("hibernated");
      record({ type: "hibernated" });
      const { wakeAfter, wakeFor: userId } = operation;
      if (wakeAfter !== undefined)
        this.#start.begin({ reason: "requested", causes: wakeAfter === null ? [] : [wakeAfter], userId });
      return;
    }
    operations.end(errorType === undefined ? "ok" : "error", errorType);
    const { snapshot } = state.record;
    if (snapshot !== undefined) orphans.addSnapshot(snapshot.id, operation.context);
    state.enter("terminated", {
      snapshot: undefined,
      credentials: undefined,
      warnings: undefined,
      terminatedMs: this.#parts.now(),
    });
    record({ type: "terminated" });
  }
}

type SnapshotError = "sandbox_gone" | "snapshot_failed" | "sandbox_timeout" | ReturnType<typeof brokerErrorType>;

export function snapshotErrorType(failure: BrokerFailure): SnapshotError {
  if (failure === "sandbox_gone" || failure === "not_found") return "sandbox_gone";
  if (failure === "limit_exceeded") return "sandbox_timeout";
  return failure === "snapshot_failed" ? failure : brokerErrorType(failure);
}
