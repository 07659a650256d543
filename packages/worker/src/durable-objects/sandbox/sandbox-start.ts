/**
 * Starts sandboxes: spawns them, restores them from a snapshot, or recovers them. The generation increases before each call of the
 * broker, so that anything from an older generation is stale.
 *
 * If the object dies during a call, it makes the call again for a new generation: the token of the old generation is lost, and the
 * broker ends the old sandbox.
 */

import type { Failure } from "@valet/shared/protocol/failure";
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { SandboxAnswer } from "@valet/shared/protocol/sandbox-broker";
import {
  type ErrorType,
  endedBy,
  isFailureType,
  isSaidBy,
  type SandboxStage,
  type SpanAttributes,
  type SpawnReason,
} from "@valet/shared/spans";
import { injectIntoEnvironment, type SpanContext } from "@valet/shared/tracing";
import type { BrokerFailure, BrokerResult } from "../../broker/client.ts";
import { failureOf } from "../core/failed-as.ts";
import { hashToken, newToken } from "../core/ids.ts";
import type { StartDetails, StartError } from "../core/session-state.ts";
import type { TimerHandlers } from "../core/timers.ts";
import { brokerErrorType, type CallEnd, isBrokerAway, isUnconfirmed } from "./broker-calls.ts";
import { addFailure, nextRecovery, type SandboxLack, START_CHECK_MS } from "./lifecycle-rules.ts";
import type { SandboxParts } from "./ports.ts";

/** The errors with which a runner may report that its start failed. */
const RUNNER_ERRORS = endedBy("start").filter(
  (type) => isFailureType(type) && isSaidBy(type, "runner"),
) as StartError[];

const MAX_RECOVERY_ATTEMPTS = 3;

/** Why a sandbox is started. */
export interface StartCause {
  readonly reason: SpawnReason;
  readonly causes: readonly SpanContext[];
  /** For whom; the session's user by default. */
  readonly userId?: string | undefined;
  /** The job that needs it. */
  readonly messageId?: string;
  readonly executionId?: string;
}

export class SandboxStart {
  readonly #parts: SandboxParts;
  readonly timerHandlers: TimerHandlers<"start" | "recover"> = {
    start: () => this.#onDeadline(),
    recover: () => this.#recover(),
  };

  constructor(parts: SandboxParts) {
    this.#parts = parts;
  }

  /** Begins a spawn, or a restore if there is a snapshot. @returns false if the state does not allow it */
  begin({ reason, causes, userId, messageId, executionId }: StartCause): boolean {
    const { state, operations, timers } = this.#parts;
    const { snapshot, startContext, recovery, generation } = state.record;
    const kind = snapshot === undefined ? "spawn" : "restore";
    if (!state.allows(kind)) return false;
    const isRecovery = reason === "recovery";
    // What spawn and restore have in common.
    const attributes: SpanAttributes<"valet.sandbox.spawn"> & SpanAttributes<"valet.sandbox.restore"> = {
      "valet.generation": generation + 1,
      "valet.sandbox.stage": "requested",
      "valet.message.id": messageId,
      "valet.workflow.execution.id": executionId,
      "valet.recovery.attempt": isRecovery ? recovery.attempts : undefined,
    };
    const links = { userId, causes, follows: [snapshot?.madeBy, isRecovery ? startContext : undefined] };
    const patch = (context: SpanContext) => ({
      startContext: context,
      errorType: undefined,
      failure: undefined,
      ...(!isRecovery && { recovery: { ...recovery, attempts: 0, failures: undefined } }),
    });
    if (snapshot === undefined) {
      operations.begin(
        { kind: "spawn", step: "waiting", attributes: { ...attributes, "valet.spawn.reason": reason }, ...links },
        patch,
      );
    } else {
      const restore: SpanAttributes<"valet.sandbox.restore"> = {
        ...attributes,
        // A session that has a snapshot is not new.
        "valet.restore.reason": reason === "session_created" ? "requested" : reason,
        "valet.snapshot.id": snapshot.id,
      };
      operations.begin({ kind: "restore", step: "waiting", attributes: restore, ...links }, patch);
    }
    if (isRecovery) state.updateOperation({ keepsSlot: true });
    timers.clear("recover");
    if (!this.#parts.mustWait) this.onTurn();
    return true;
  }

  /** Makes the call of a start that has a slot. The start's deadline counts from here. */
  onTurn(): void {
    const { operations, timers, now, intervals } = this.#parts;
    if (operations.current?.step !== "waiting") return;
    operations.endWait("ok");
    timers.set("start", now() + intervals.startMs);
    this.call();
  }

  /** Puts the start back into the line, at its old place: the broker is full. */
  #wait(): void {
    const { state, operations, timers } = this.#parts;
    for (const timer of ["start", "operation"] as const) timers.clear(timer);
    state.updateOperation({ step: "waiting", refusals: (operations.current?.refusals ?? 0) + 1 });
  }

  /** Asks the broker for the sandbox of a new generation. */
  call(): void {
    const { state, operations, calls, broker, link, startTimes, orphans, record, watch, sandboxEnv } = this.#parts;
    const { id: sessionId, snapshot, generation: before } = state.record;
    const operation = operations.current;
    if (operation === undefined) return;
    const generation = before + 1;
    const runnerToken = newToken();
    state.update({ generation, tokenHash: hashToken(runnerToken), sandbox: undefined, warnings: undefined });
    state.updateOperation({ step: "calling" });
    link.expect();
    startTimes.began(generation);
    record({ type: "generation-began", isFresh: snapshot === undefined });
    watch();
    const isRestore = operation.kind === "restore";
    const env: Record<string, string> = sandboxEnv(sessionId, generation);
    injectIntoEnvironment(operation.context, env);
    calls.begin<"valet.sandbox.create", SandboxAnswer>({
      span: "valet.sandbox.create",
      parent: operation.context,
      attributes: {
        "valet.broker.call": isRestore ? "restore" : "create",
        "valet.generation": generation,
        "valet.snapshot.id": snapshot?.id,
      },
      perform: (context) => {
        const request = { sessionId, generation, env, runnerToken };
        return broker.create({ ...request, ...(snapshot && { snapshotId: snapshot.id }) }, { sessionId, context });
      },
      judge: (result): CallEnd<"valet.sandbox.create"> => {
        if (!this.#isAwaited(operation.id, generation)) return { outcome: "superseded", errorType: "stale_generation" };
        if (!result.ok) return { outcome: "error", errorType: createErrorType(result.failure, isRestore) };
        const { id, driver } = result.value.sandbox;
        return { outcome: "ok", attributes: { "valet.sandbox.id": id, "valet.sandbox.driver": driver } };
      },
      settle: (result, { outcome, errorType }) => {
        if (!result.ok && isUnconfirmed(result.failure)) orphans.addUnconfirmed(generation, operation.context);
        if (outcome === "superseded") this.#discard(result, operation.context);
        else if (result.ok) this.#onCreated(result.value);
        else if (result.failure === "capacity") this.#wait();
        else {
          const lack = isBrokerAway(result.failure) ? "broker_away" : "start_failed";
          this.fail(isStartError(errorType) ? errorType : "_OTHER", {}, lack);
        }
      },
    });
  }

  /** Records the stage that the runner's start has reached, or its failure. */
  onStage({ stage, errorType }: FromRunnerOf<"stage">): void {
    const { operations, link } = this.#parts;
    if (stage === "failed") {
      const type = RUNNER_ERRORS.find((each) => each === errorType) ?? "_OTHER";
      // The repository and the agent are set up at the same time: the last stage reported need not be the one that failed.
      if (this.#isStarting()) this.#reached(stageOf(type));
      if (this.#isStarting()) this.fail(type);
      return;
    }
    if (stage === "ready") link.ready();
    if (!this.#isStarting()) return;
    this.#reached(stage);
    operations.change<"spawn" | "restore">((span) => {
      span.addEvent("valet.sandbox.stage", { "valet.sandbox.stage": stage });
    });
    this.completeIfReady();
  }

  onForeign(protocols: LinkProtocols): void {
    if (this.#isStarting()) this.fail("protocol_unsupported", { protocols });
  }

  #reached(stage: SandboxStage | undefined): void {
    const { state, operations } = this.#parts;
    if (stage === undefined) return;
    state.updateOperation({ stage });
    operations.change<"spawn" | "restore">((span) => span.setAttribute("valet.sandbox.stage", stage));
  }

  /** Ends the start once the broker has answered and the runner is ready, in either order. */
  completeIfReady(): void {
    const { state, operations, timers, startTimes, now } = this.#parts;
    const { sandbox, link, generation, recovery } = state.record;
    if (operations.current?.step !== "booting" || !link.ready || sandbox === undefined) return;
    operations.end("ok", undefined, { "valet.sandbox.stage": "ready" });
    timers.clear("start");
    startTimes.ended(generation);
    state.enter("ready", { recovery: { ...recovery, readyMs: now(), failures: undefined } });
  }

  /** Ends a failed start: schedules the next attempt, or gives up. */
  fail(errorType: StartError, details: StartDetails = {}, lack: SandboxLack = "start_failed"): void {
    const { state, operations, timers, startTimes, now, endGeneration } = this.#parts;
    const { generation, recovery } = state.record;
    const operation = operations.current;
    if (operation === undefined) return;
    operations.end("error", errorType);
    timers.clear("start");
    startTimes.ended(generation);
    // No work ran in it: the next start has what this one had.
    endGeneration(operation.context, true);
    const failures = addFailure(recovery.failures, { errorType, stage: operation.stage, ...details, lack });
    const next = nextRecovery(recovery, this.#rules, now(), lack);
    if (next === undefined) {
      this.#giveUp(failures.errorType, failureOf(failures));
    } else {
      state.enter("start_failed", { recovery: { ...recovery, attempts: next.attempt, failures } });
      timers.set("recover", now() + next.delayMs);
    }
  }

  /**
   * Asks the broker again, for another generation: the answer to the call before will not arrive. A runner may have connected
   * from that sandbox all the same.
   */
  callAgain(): void {
    const { link, record } = this.#parts;
    record({ type: "generation-ended", keptFiles: true, runners: link.end() });
    this.call();
  }

  /** Continues the same start with another sandbox: the first one ended with the broker before its runner was ready. */
  startAnew(): void {
    const { state, operations, timers, now, intervals, link, record, orphans } = this.#parts;
    const { sandbox } = state.record;
    const operation = operations.current;
    if (operation?.step !== "booting") return;
    record({ type: "generation-ended", keptFiles: true, runners: link.end() });
    if (sandbox !== undefined) orphans.addSandbox(sandbox, operation.context);
    state.updateOperation({ isPutOff: undefined });
    timers.set("start", now() + intervals.startMs);
    this.call();
  }

  /** Replaces a sandbox that is gone, or whose runner is lost; or gives up. */
  lost(cause?: ErrorType): void {
    const { state, timers, now, endGeneration } = this.#parts;
    const { recovery, startContext } = state.record;
    if (!state.allows("sandbox_lost") || startContext === undefined) return;
    const next = nextRecovery(recovery, this.#rules, now(), "lost");
    state.enter("sandbox_lost", { recovery: { ...recovery, attempts: next?.attempt ?? recovery.attempts } });
    endGeneration(startContext, false, cause);
    if (next === undefined) {
      this.#giveUp("runner_lost", failureOf({ stage: undefined, count: recovery.attempts }));
    } else if (next.delayMs === 0) {
      this.#recover();
    } else {
      timers.set("recover", now() + next.delayMs);
    }
  }

  /** Gives up: no other start is tried. The session and its queued jobs end with the cause of the failed starts. */
  #giveUp(errorType: StartError, failure: Failure): void {
    const { state, record } = this.#parts;
    state.enter("give_up", { errorType, failure });
    record({ type: "gave-up", errorType, failure });
  }

  #recover(): void {
    if (this.#parts.state.record.state === "recovering") this.begin({ reason: "recovery", causes: [] });
  }

  #onDeadline(): void {
    if (!this.#isStarting()) return;
    // Without an answer of the broker there is no runner that could be ready.
    if (this.#parts.operations.current?.step === "calling") this.fail("broker_timeout", {}, "broker_away");
    else this.fail("runner_never_ready");
  }

  #onCreated({ sandbox: { id, driver, isolation } }: SandboxAnswer): void {
    const { state, operations, startTimes, timers, now } = this.#parts;
    const stage = operations.current?.stage ?? "created";
    state.update({ sandbox: { id, driver } });
    state.updateOperation({ step: "booting", stage });
    startTimes.made(state.record.generation);
    timers.clear("operation");
    // Only the broker can report a runner that dies before its hello.
    timers.set("check", now() + START_CHECK_MS);
    operations.change<"spawn" | "restore">((span) => {
      span.setAttributes({
        "valet.sandbox.id": id,
        "valet.sandbox.driver": driver,
        // Older brokers do not say it.
        "valet.sandbox.isolation": isolation,
        "valet.sandbox.stage": stage,
        // It differs from the first one if the call was repeated.
        "valet.generation": state.record.generation,
      });
      span.addEvent("valet.sandbox.stage", { "valet.sandbox.stage": "created" });
    });
    this.completeIfReady();
  }

  /** Makes a sandbox that nobody waits for an orphan. */
  #discard(result: BrokerResult<SandboxAnswer>, parent: SpanContext): void {
    if (!result.ok) return;
    const { id, driver } = result.value.sandbox;
    this.#parts.orphans.addSandbox({ id, driver }, parent);
  }

  #isAwaited(operationId: string, generation: number): boolean {
    const { state, operations } = this.#parts;
    return (
      operations.current?.id === operationId &&
      operations.current.step === "calling" &&
      state.record.generation === generation
    );
  }

  #isStarting(): boolean {
    const { state } = this.#parts.state.record;
    return state === "starting" || state === "restoring";
  }

  get #rules() {
    const { recoveryBackoffMs, recoveryHeldMs } = this.#parts.intervals;
    return { maxAttempts: MAX_RECOVERY_ATTEMPTS, backoffMs: recoveryBackoffMs, heldMs: recoveryHeldMs };
  }
}

/** Returns the stage of a start at which an error occurs; `undefined` if its name does not say. */
function stageOf(type: StartError): SandboxStage | undefined {
  if (type.startsWith("git_")) return "git_setup";
  return type.startsWith("opencode_") || type === "wall_failed" ? "opencode_starting" : undefined;
}

type CreateError = CallEnd<"valet.sandbox.create">["errorType"];

function isStartError(errorType: CreateError): errorType is Exclude<CreateError, undefined> & StartError {
  return errorType !== undefined && isFailureType(errorType) && errorType !== "broker_full";
}

function createErrorType(failure: BrokerFailure, isRestore: boolean) {
  if (failure === "not_found" && isRestore) return "snapshot_gone";
  if (failure === "capacity") return "broker_full";
  if (failure === "limit_exceeded") return "sandbox_timeout";
  if (failure === "start_failed") return isRestore ? "restore_failed" : "spawn_failed";
  return failure === "stale_generation" ? "stale_generation" : brokerErrorType(failure);
}
