/**
 * The life of the session's sandbox: sandbox-start.ts and sandbox-end.ts, and what ties them together. One operation at a
 * time, each with its span: that opens in the transaction of the transition which begins the operation and closes in that
 * of the one which ends it. A refused transition leaves no trace.
 *
 * Calls of the broker are made after the commit and settled by operation and generation: an answer that comes too late
 * changes nothing. An operation whose call died with the object is taken up by the timer that watches over it.
 */
import type { Failure } from "@valet/shared/protocol/failure";
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { type HibernateReason, knownErrorType, type TerminateReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { SandboxBroker } from "../../broker/client.ts";
import type { Intervals } from "../../config.ts";
import type { TurnRecords } from "../conversation/turn-records.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import { NO_LINK, type SessionState, type StartError } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { RunnerLink } from "../link/runner-link.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { Operations } from "./operations.ts";
import type { Orphans } from "./orphans.ts";
import { SandboxCheck } from "./sandbox-check.ts";
import { SandboxEnd } from "./sandbox-end.ts";
import { SandboxStart, type StartCause } from "./sandbox-start.ts";

/** Told, and asked, within the transaction of a transition. */
export interface LifecycleListener {
  isBusy(): boolean;
  hasWork(): boolean;
  /** When the newest message or workflow ended, epoch ms; `undefined` where there is none, or it has not ended. */
  lastWorkMs(): number | undefined;
  /** @param isFresh whether the sandbox starts with nothing, rather than from a snapshot */
  generationBegan(isFresh: boolean): void;
  /** Its runner is not coming back. @param keptFiles whether the next generation has the files of this one */
  generationEnded(keptFiles: boolean): void;
  hibernating(): void;
  /** There will be no sandbox unless somebody asks again. @param errorType why the first start failed */
  gaveUp(errorType: StartError, failure: Failure): void;
  terminating(cause: SpanContext | undefined): void;
  /** The object may go idle after this: what was recorded is to be handed to export. */
  boundary(): void;
}

export interface LifecycleOptions {
  readonly state: SessionState;
  readonly operations: Operations;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly link: RunnerLink;
  readonly broker: SandboxBroker;
  readonly calls: BrokerCalls;
  readonly orphans: Orphans;
  readonly records: TurnRecords;
  readonly intervals: Intervals;
  readonly now: () => number;
  /** What the sandbox's entrypoint finds in its environment. */
  readonly sandboxEnv: (sessionId: string, generation: number) => Record<string, string>;
  readonly listener: LifecycleListener;
  /** Whether a start waits until it is told that it is its turn. */
  readonly mustWait: boolean;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

/** What the two halves share. */
export interface LifecycleParts extends LifecycleOptions {
  /** Watches over the call that the operation under way is about to make. @param limitMs of a call that takes another time than most */
  readonly watch: (limitMs?: number) => void;
  /**
   * @param parent the operation that orphans the sandbox, if there is one
   * @param keptFiles whether the next generation has the files of this one
   */
  readonly endGeneration: (parent: SpanContext, keptFiles?: boolean) => void;
  readonly start: () => SandboxStart;
}

export class SandboxLifecycle {
  readonly #options: LifecycleOptions;
  readonly #start: SandboxStart;
  readonly #end: SandboxEnd;
  readonly #check: SandboxCheck;

  constructor(options: LifecycleOptions) {
    this.#options = options;
    const parts: LifecycleParts = {
      ...options,
      watch: (limitMs) => this.#watch(limitMs),
      endGeneration: (parent, keptFiles) => this.#endGeneration(parent, keptFiles),
      start: () => this.#start,
    };
    this.#start = new SandboxStart(parts);
    this.#end = new SandboxEnd(parts);
    this.#check = new SandboxCheck(parts, {
      onStopped: () => this.#end.keep("sandbox_stopped"),
      onRunnerLost: () => this.#end.keep("runner_lost"),
      onStartCut: () => this.#start.startAnew(),
      onStartEnded: (stopReason, logLine) => this.#start.fail(stopReason, { logLine }),
      onGone: () => this.#start.lost(),
      onGoneWhileStarting: () => this.#start.fail("sandbox_gone"),
    });
    options.timers.handle("operation", () => this.#takeUp());
  }

  /** After the object came to life: calls that the one before it made have nobody to answer to. */
  resume(): void {
    const { operations, state, calls, timers, now, orphans } = this.#options;
    const abandoned = calls.abandon();
    orphans.resume();
    const { generation, sandbox, startContext } = state.record;
    if (abandoned.includes("valet.sandbox.create") && startContext !== undefined) {
      // Where there is a sandbox, this generation's call was answered, and it was an older one's that was not.
      orphans.addUnheard(sandbox === undefined ? generation : generation - 1, startContext);
    }
    const step = operations.current?.step;
    if (step === "calling" || step === "snapshotting" || step === "deleting") timers.set("operation", now());
    this.#check.resume();
  }

  /** Gets a sandbox. @returns false if the state does not allow it */
  start(cause: StartCause): boolean {
    return this.#start.begin(cause);
  }

  /** It is this session's turn to start the sandbox that it waits for. */
  onTurn(): void {
    this.#start.onTurn();
  }

  hibernate(reason: HibernateReason, cause: SpanContext | undefined): Result<void> {
    return this.#end.hibernate(reason, cause);
  }

  /** Wakes the session. Awake already, or on its way there, is what was asked for. */
  wake(cause: SpanContext | undefined): Result<void> {
    const { state } = this.#options;
    const { state: now } = state.record;
    if (now === "terminating" || now === "terminated")
      return refuse("session-ended", "A session that has ended stays so.");
    if (now === "hibernating") state.updateOperation({ wakeAfter: cause ?? null });
    else this.#start.begin({ reason: "requested", causes: cause === undefined ? [] : [cause] });
    return ok(undefined);
  }

  terminate(reason: TerminateReason, cause: SpanContext | undefined): void {
    this.#end.terminate(reason, cause === undefined ? [] : [cause]);
  }

  /** What is left of the start under way, in ms; `undefined` where there is none. */
  startLeftMs(): number | undefined {
    const { timers, now } = this.#options;
    const dueMs = timers.dueMs("start");
    return dueMs === undefined ? undefined : Math.max(0, dueMs - now());
  }

  /** A runner has introduced itself. @param isBack whether the link was down meanwhile */
  onHello(isBack: boolean): void {
    if (isBack) this.#noteLink("valet.runner.reconnected");
    this.#start.completeIfReady();
  }

  onStage(stage: FromRunnerOf<"stage">): void {
    // A runner that took another's place did not get ready: what is in its sandbox is kept.
    if (stage.stage === "failed" && this.#options.state.record.state === "running") {
      this.#end.keep("runner_lost", knownErrorType(stage.errorType ?? ""));
    } else this.#start.onStage(stage);
  }

  /** The sandbox's runner cannot be understood, and neither can another one that starts in it. */
  onForeign(protocols: LinkProtocols): void {
    this.#start.onForeign(protocols);
  }

  /** The runner has ended, as it was told to. */
  onStopped(): void {
    this.#end.onRunnerStopped();
  }

  onLinkDown(): void {
    const { operations } = this.#options;
    if (operations.current?.step === "stopping") this.#end.onRunnerStopped();
    else {
      this.#noteLink("valet.runner.disconnected");
      this.#check.begin();
    }
  }

  /** The runner is lost. Its sandbox may be there all the same, with work that no snapshot holds: the broker is asked. */
  onLinkGone(): void {
    const { state, sandbox } = this.#options.state.record;
    if (state === "running" && sandbox !== undefined) this.#check.begin();
    else this.#start.lost();
  }

  #noteLink(event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    const { operations } = this.#options;
    const { kind } = operations.current ?? {};
    if (kind === "spawn" || kind === "restore") operations.change<typeof kind>((span) => span.addEvent(event));
  }

  #watch(limitMs = this.#options.intervals.brokerCallMs): void {
    const { timers, now, intervals } = this.#options;
    timers.set("operation", now() + limitMs + intervals.retryMs);
  }

  /** The operation under way waits for an answer that is not coming. */
  #takeUp(): void {
    const { step } = this.#options.operations.current ?? {};
    if (step === "calling") this.#start.call();
    else if (step === "snapshotting") this.#end.snapshot();
    else if (step === "stopping") this.#end.onRunnerStopped();
    else if (step === "deleting") this.#end.delete();
  }

  #endGeneration(parent: SpanContext, keptFiles = false): void {
    const { state, link, orphans, listener } = this.#options;
    const { sandbox } = state.record;
    if (sandbox !== undefined) orphans.addSandbox(sandbox, parent);
    listener.generationEnded(keptFiles);
    link.end();
    state.update({ sandbox: undefined, tokenHash: undefined, link: NO_LINK });
  }
}
