import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { type ErrorType, type HibernateReason, knownErrorType, type TerminateReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { Asker } from "../core/asker.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import { NO_LINK } from "../core/session-state.ts";
import type { TimerHandlers } from "../core/timers.ts";
import type { SandboxOptions, SandboxParts } from "./ports.ts";
import { SandboxCheck } from "./sandbox-check.ts";
import { SandboxEnd } from "./sandbox-end.ts";
import { SandboxStart, type StartCause } from "./sandbox-start.ts";

export class SandboxLifecycle {
  readonly #options: SandboxOptions;
  readonly #start: SandboxStart;
  readonly #end: SandboxEnd;
  readonly #check: SandboxCheck;
  readonly timerHandlers: TimerHandlers<"operation" | "start" | "recover" | "stop" | "idle" | "sleep" | "check">;

  constructor(options: SandboxOptions) {
    this.#options = options;
    const parts: SandboxParts = {
      ...options,
      watch: (limitMs) => this.#watch(limitMs),
      endGeneration: (...args) => this.#endGeneration(...args),
    };
    this.#start = new SandboxStart(parts);
    this.#end = new SandboxEnd(parts, this.#start);
    this.#check = new SandboxCheck(parts, this.#start, this.#end);
    this.timerHandlers = {
      operation: () => this.#resumeOperation(),
      ...this.#start.timerHandlers,
      ...this.#end.timerHandlers,
      ...this.#check.timerHandlers,
    };
  }

  /** Resumes the current operation when the object starts: answers to calls that it made before are lost. */
  resume(): void {
    const { operations, state, calls, timers, now, orphans } = this.#options;
    const abandoned = calls.abandon();
    orphans.resume();
    const { generation, sandbox, startContext } = state.record;
    if (abandoned.includes("valet.sandbox.create") && startContext !== undefined) {
      // If there is a sandbox, this generation's call was answered, and the unanswered call is of an older generation.
      orphans.addUnconfirmed(sandbox === undefined ? generation : generation - 1, startContext);
    }
    const step = operations.current?.step;
    if (step === "calling" || step === "snapshotting" || step === "deleting") timers.set("operation", now());
    this.#check.resume();
  }

  /** Begins to start a sandbox. @returns false if the state does not allow it */
  start(cause: StartCause): boolean {
    return this.#start.begin(cause);
  }

  /** Starts the sandbox that waits for a slot: the capacity object has granted one. */
  onTurn(): void {
    this.#start.onTurn();
  }

  hibernate(reason: HibernateReason, asker?: Asker): Result<void> {
    return this.#end.hibernate(reason, asker);
  }

  /** Wakes the session. Idempotent. A session that is hibernating wakes afterwards. */
  wake({ userId, context }: Asker = {}): Result<void> {
    const { state } = this.#options;
    const { state: now } = state.record;
    if (now === "terminating" || now === "terminated")
      return refuse("session-ended", "The session has ended and cannot be woken. Create a new one.");
    if (now === "hibernating") state.updateOperation({ wakeAfter: context ?? null, wakeFor: userId });
    else this.#start.begin({ reason: "requested", causes: context === undefined ? [] : [context], userId });
    return ok(undefined);
  }

  terminate(reason: TerminateReason, { userId, context }: Asker = {}): void {
    this.#end.terminate(reason, context === undefined ? [] : [context], userId);
  }

  /** Records the new place in the line of the start that waits. */
  onPlace(place: number): void {
    this.#options.operations.waitAt(place);
  }

  /** Handles a runner's hello. @param isBack whether the link was down meanwhile */
  onHello(isBack: boolean): void {
    if (isBack) this.#addLinkEvent("valet.runner.reconnected");
    this.#start.completeIfReady();
  }

  onStage(stage: FromRunnerOf<"stage">): void {
    // A restarted runner did not become ready: the sandbox's files are kept.
    if (stage.stage === "failed" && this.#options.state.record.state === "running") {
      this.#end.hibernateWithoutRunner("runner_lost", knownErrorType(stage.errorType ?? ""));
    } else this.#start.onStage(stage);
  }

  /** Fails the start: the sandbox's runner speaks another protocol, and so would any that starts in it. */
  onForeign(protocols: LinkProtocols): void {
    this.#start.onForeign(protocols);
  }

  /** Ends the sandbox: its runner has stopped, as the object asked. */
  onStopped(): void {
    this.#end.onRunnerStopped();
  }

  onLinkDown(): void {
    const { operations } = this.#options;
    if (operations.current?.step === "stopping") this.#end.onRunnerStopped();
    else {
      this.#addLinkEvent("valet.runner.disconnected");
      this.#check.begin();
    }
  }

  /** Handles the loss of the runner. Asks the broker first: the sandbox may exist, with files that no snapshot holds. */
  onLinkGone(): void {
    const { state, sandbox } = this.#options.state.record;
    if (state === "running" && sandbox !== undefined) this.#check.begin();
    else this.#start.lost();
  }

  #addLinkEvent(event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    const { operations } = this.#options;
    const { kind } = operations.current ?? {};
    if (kind === "spawn" || kind === "restore") operations.change<typeof kind>((span) => span.addEvent(event));
  }

  #watch(limitMs = this.#options.intervals.brokerCallMs): void {
    const { timers, now, intervals } = this.#options;
    timers.set("operation", now() + limitMs + intervals.retryMs);
  }

  /** Resumes the current operation at its step: the answer that it waited for will not arrive. */
  #resumeOperation(): void {
    const { step } = this.#options.operations.current ?? {};
    if (step === "calling") this.#start.callAgain();
    else if (step === "snapshotting") this.#end.snapshot();
    else if (step === "stopping") this.#end.onRunnerStopped();
    else if (step === "deleting") this.#end.delete();
  }

  #endGeneration(parent: SpanContext, keptFiles = false, cause?: ErrorType): void {
    const { state, link, orphans, record } = this.#options;
    const { sandbox } = state.record;
    if (sandbox !== undefined) orphans.addSandbox(sandbox, parent);
    record({ type: "generation-ended", keptFiles, runners: link.end(), cause });
    state.update({ sandbox: undefined, tokenHash: undefined, link: NO_LINK });
  }
}
