/** Runs one prompt in OpenCode, from sending it to its end, with the watchdogs that may abort it. */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS, stuckLimits } from "@valet/shared/limits";
import type { SpanContext } from "@valet/shared/tracing";
import type { ModelCallRef, PromptLimits } from "../agent/agent.ts";
import type { Ending, Fact } from "../agent/facts.ts";
import type { AgentAccess } from "./agent-access.ts";
import { CatchUp } from "./catch-up.ts";
import { type OpenCodeClient, OpenCodeError, type Prompt } from "./client.ts";
import type { AgentEvent } from "./events.ts";
import { eventsOf, readPast } from "./history.ts";
import { ToolLimits } from "./tool-limits.ts";
import type { TurnReducer } from "./turn-reducer.ts";

export interface PromptRunOptions {
  readonly agent: AgentAccess;
  readonly client: OpenCodeClient;
  readonly reducer: TurnReducer;
  readonly sessionId: string;
  readonly prompt: Prompt;
  /** The context for every call to OpenCode: that of the prompt's `invoke_agent` span. */
  readonly context: SpanContext;
  readonly limits: PromptLimits;
  onFacts(facts: Fact[]): void;
  /** Called after the reducer has applied the event. */
  onEvent(event: AgentEvent): void;
  /** Called when events show progress, or when silence is expected. At most a few times within `limits.stuckMs`. */
  onWorking(): void;
}

/** The delay between two reads of the history to check whether OpenCode works on a prompt without events. */
const CHECK_DELAY_MS = 250;

/** The maximum number of tries to read the history after events were lost, since OpenCode may be busy. */
const HISTORY_TRIES = 4;

/** How often a prompt notices that it still runs. */
const PULSE_MS = 2_000;

/** The maximum time from a process's end to its notification. */
const DEATH_NOTICE_MS = 250;

/** OpenCode counts as stopped after this many successive checks that find it idle, without an event in between. */
const IDLE_CHECKS = 2;

const STOPPED: Ending = { outcome: "error", errorType: "opencode_stopped" };
const STUCK: Ending = { outcome: "error", errorType: "stuck_turn" };
const OVERRUN: Ending = { outcome: "error", errorType: "tool_stuck" };
const REFUSED: Ending = { outcome: "error", errorType: "opencode_error" };

export class PromptRun {
  readonly #options: PromptRunOptions;
  readonly #ended = Promise.withResolvers<void>();
  #sent: Promise<void> | undefined;
  #aborting: Promise<void> | undefined;
  /** OpenCode's answer to an abort, or its failure. An abort that arrived after the run would end the session's next prompt. */
  #abortAnswer: Promise<unknown> | undefined;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #toldWorkingMs = Number.NEGATIVE_INFINITY;
  #heldTimer: ReturnType<typeof setTimeout> | undefined;
  #healthTimer: ReturnType<typeof setTimeout> | undefined;
  /** The current health check. */
  #checkingHealth: Promise<void> | undefined;
  /** The number of successive checks that found OpenCode idle. */
  #idleChecks = 0;
  readonly #toolLimits = new ToolLimits();
  /** When the agent last waited for a person, or the sandbox last stood still, epoch ms; 0 if neither has happened. */
  #pausedMs = 0;
  /** When this process was last seen running, epoch ms. */
  #aliveMs = Date.now();
  #pulse: ReturnType<typeof setInterval> | undefined;
  readonly #catchUp: CatchUp;
  #wasRetried = false;
  /** The current check whether OpenCode works on the prompt. */
  #checking: Promise<void> | undefined;
  /** The current check whether an aborted prompt is over. */
  #confirming: Promise<void> | undefined;

  constructor(options: PromptRunOptions) {
    this.#options = options;
    const { client, context, sessionId, reducer } = options;
    this.#catchUp = new CatchUp({
      read: async () => {
        const past = await readPast({
          client,
          context,
          sessionId,
          turn: reducer,
          hasBegun: reducer.hasBegun,
          knownMessages: (id) => reducer.messageCount(id),
          isKnown: (child) => reducer.isOver(child),
          openRequests: () => reducer.openRequests,
        });
        return eventsOf(past, (session) => reducer.isBusy(session));
      },
      apply: (event, readMs) => this.#onEvent(event, readMs),
      isOver: () => reducer.hasEnded,
    });
  }

  /** Sends the prompt and resolves to how it ended. Never rejects. */
  async run(): Promise<Ending> {
    const { agent, client, reducer, sessionId, prompt, context } = this.#options;
    const leave = agent.subscribe({
      onEvent: (event, readMs) => this.#hear(event, readMs),
      onReconnected: () => void this.#catchUp.recover(HISTORY_TRIES).catch(() => undefined),
      onMcpConnected: () => this.#take(reducer.mcpConnected()),
      onDeath: (errorType) => this.#close({ outcome: "error", errorType }),
    });
    try {
      this.#aliveMs = Date.now();
      this.#pulse = setInterval(() => this.#noticeStandstill(), PULSE_MS);
      this.#watch();
      this.#sent = client.prompt(sessionId, prompt, context);
      await Promise.race([this.#sent.catch((error: unknown) => this.#refused(error)), this.#ended.promise]);
      await this.#ended.promise;
    } finally {
      leave();
      clearInterval(this.#pulse);
      clearTimeout(this.#watchdog);
      clearTimeout(this.#healthTimer);
      clearTimeout(this.#heldTimer);
    }
    await this.#abortAnswer;
    return reducer.ending;
  }

  /** Records that a permitted model call is about to be sent. */
  recordRequest(call: ModelCallRef): void {
    const { reducer } = this.#options;
    if (!reducer.hasEnded) this.#take(reducer.recordRequest(call, Date.now()));
  }

  /**
   * Whether the history may have another answer than the events: some may have been lost, or a model call was tried again. OpenCode
   * (1.18.33) then drops what the failed try had said, without an event.
   */
  get historyMayDiffer(): boolean {
    return this.#catchUp.wasNeeded || this.#wasRetried;
  }

  /** Resolves once all events that the stream has delivered so far have been applied. Never rejects. */
  caughtUp(): Promise<void> {
    return this.#catchUp.settled();
  }

  /**
   * Aborts the prompt. All its spans that end from now on end with `ending`. Resolves once the agent is idle, or did not become
   * idle in time.
   */
  abort(ending: Ending): Promise<void> {
    this.#cut(ending);
    this.#aborting ??= this.#abort(ending);
    return this.#aborting;
  }

  async #abort(ending: Ending): Promise<void> {
    const { reducer, limits } = this.#options;
    const timer = setTimeout(() => this.#close(ending), limits.abortTimeoutMs);
    try {
      // An abort that overtook its prompt would leave the prompt unanswered in the history.
      await this.#sent?.catch(() => undefined);
      if (reducer.hasEnded) return;
      await this.#requestAbort();
      await this.#catchUp.run();
      this.#take(reducer.abortAnswered(Date.now()));
      if (reducer.isUnconfirmed) this.#confirming ??= this.#confirm();
      await this.#ended.promise;
    } catch {
      // Without an answer the timeout ends the prompt.
      await this.#ended.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Handles an event of the stream. It is a sign of life even if it waits for the history. */
  #hear(event: AgentEvent, readMs: number): void {
    const { reducer } = this.#options;
    if (reducer.hasEnded) return;
    if (event.type === "provider.bytes") {
      // No progress: a provider may send comments for ever.
      this.#take(reducer.recordBytes(event.properties.sessionID, event.properties.atMs));
      return;
    }
    if (reducer.concerns(event)) {
      this.#idleChecks = 0;
      this.#watch();
      this.#tellWorking();
    }
    this.#catchUp.hear(event, readMs);
  }

  #onEvent(event: AgentEvent, readMs: number): void {
    const { reducer, onEvent, limits } = this.#options;
    if (reducer.hasEnded || !reducer.concerns(event)) return;
    this.#toolLimits.observe(event);
    const hasWaited = reducer.isWaiting;
    const facts = reducer.apply(event, readMs);
    if (hasWaited || reducer.isWaiting) this.#pausedMs = Date.now();
    if (event.type === "session.status" && event.properties.status.type === "retry") this.#wasRetried = true;
    onEvent(event);
    this.#take(facts);
    this.#watchHeldCall();
    if (reducer.hasEnded) return;
    this.#watch();
    if (reducer.verdict !== undefined) void this.abort(reducer.verdict);
    if (reducer.unanswered !== undefined) this.#checking ??= this.#check();
    if (reducer.isUnconfirmed) this.#confirming ??= this.#confirm();
    const { retry } = reducer;
    if (retry === undefined) return;
    if (retry.failures >= limits.maxFailures || retry.nextMs - readMs > limits.maxRetryWaitMs) {
      void this.abort({ outcome: "error", errorType: retry.error });
    }
  }

  /**
   * Checks a prompt for which OpenCode became idle or reported an error without any work on it. If history and status confirm
   * that, the prompt ends.
   */
  async #check(): Promise<void> {
    const { reducer } = this.#options;
    try {
      await this.#sent;
      await this.#catchUp.run();
      // Work that OpenCode was about to begin is visible after a short delay.
      await sleep(CHECK_DELAY_MS);
      await this.#catchUp.run();
      const { unanswered } = reducer;
      if (unanswered !== undefined) this.#close(unanswered);
    } catch {
      // A refused prompt ends elsewhere, and the watchdog handles an OpenCode that does not answer.
    } finally {
      this.#checking = undefined;
    }
  }

  /** Reads the history of an aborted prompt that seems to be over, unless OpenCode confirms that it is. */
  async #confirm(): Promise<void> {
    try {
      await sleep(CHECK_DELAY_MS);
      if (this.#options.reducer.isUnconfirmed) await this.#catchUp.run();
    } catch {
      // Without an answer the timeout ends the prompt.
    } finally {
      this.#confirming = undefined;
    }
  }

  /** Schedules the watchdog: for the end of the allowed silence, or for when a tool has overrun its limit, even with output. */
  #watch(): void {
    this.#watchHealth();
    clearTimeout(this.#watchdog);
    const delayMs = Math.min(this.#options.limits.stuckMs, this.#overrunInMs);
    this.#watchdog = setTimeout(() => this.#onWatch(), Math.max(0, delayMs));
  }

  #watchHealth(): void {
    clearTimeout(this.#healthTimer);
    this.#healthTimer = setTimeout(() => this.#checkHealth(), this.#options.limits.silenceMs);
  }

  /** Checks a silent agent. It may wait for its model, a tool or a person, but if it does not answer, it hangs. */
  #checkHealth(): Promise<void> {
    this.#checkingHealth ??= this.#askHealth().finally(() => {
      this.#checkingHealth = undefined;
    });
    return this.#checkingHealth;
  }

  async #askHealth(): Promise<void> {
    const { agent, reducer } = this.#options;
    const startMs = Date.now();
    const apply = (isResponsive: boolean, atMs: number) => {
      if (!reducer.hasEnded) this.#take(reducer.applyHealth(isResponsive, atMs));
    };
    await agent.check(() => apply(false, startMs));
    apply(true, Date.now());
    await this.#checkWork();
    if (!reducer.hasEnded) this.#watchHealth();
  }

  /**
   * Ends the prompt if OpenCode no longer works on it although its answer is unfinished. OpenCode 1.18.33 sends no end event if
   * it cannot write its own files, for example on a full disk; its history then shows the tool as still running.
   */
  async #checkWork(): Promise<void> {
    const { client, reducer, sessionId, context } = this.#options;
    if (reducer.hasEnded || !reducer.hasBegun || reducer.isWaiting) return;
    const statuses = await client.statuses(context).catch(() => undefined);
    this.#idleChecks = statuses === undefined || statuses.has(sessionId) ? 0 : this.#idleChecks + 1;
    if (this.#idleChecks < IDLE_CHECKS) return;
    // The events of its end may have been lost.
    await this.#catchUp.run().catch(() => undefined);
    if (this.#idleChecks >= IDLE_CHECKS) this.#close(STOPPED);
  }

  /** The milliseconds until a tool has run too long past its limit; infinity if no such tool is running. */
  get #overrunInMs(): number {
    const { reducer, limits } = this.#options;
    if (reducer.isWaiting) return Number.POSITIVE_INFINITY;
    return this.#toolLimits.overrunMs(this.#pausedMs) + limits.overrunMs - Date.now();
  }

  /** Reports that the prompt makes progress, unless that was just reported, since the SessionAgent has a watchdog, too. */
  #tellWorking(): void {
    const { limits, onWorking } = this.#options;
    const nowMs = performance.now();
    if (nowMs - this.#toldWorkingMs < stuckLimits(limits.stuckMs).signMs) return;
    this.#toldWorkingMs = nowMs;
    onWorking();
  }

  /**
   * Begins the allowed silence and the limits of tools anew if this process stood still, or its clock was set: its machine slept, or it
   * was frozen with its sandbox. OpenCode's own timers may not have gone on, and what it said meanwhile has not been read.
   * @returns whether it did
   */
  #noticeStandstill(): boolean {
    const nowMs = Date.now();
    const stoodStill = nowMs - this.#aliveMs > PULSE_MS + LIMITS.standstillMs;
    this.#aliveMs = nowMs;
    if (!stoodStill) return false;
    this.#pausedMs = nowMs;
    this.#watch();
    // The object's watchdog went on with the clock, too.
    this.#toldWorkingMs = Number.NEGATIVE_INFINITY;
    this.#tellWorking();
    return true;
  }

  #onWatch(): void {
    const { reducer } = this.#options;
    if (this.#noticeStandstill()) return;
    if (this.#overrunInMs <= 0) void this.abort(OVERRUN);
    else if (reducer.isWaiting || this.#toolLimits.quietUntilMs(this.#pausedMs) > Date.now()) {
      this.#tellWorking();
      this.#watch();
    } else void this.abort(STUCK);
  }

  /** A model call whose request is not reported in time begins without a report. */
  #watchHeldCall(): void {
    const { reducer } = this.#options;
    clearTimeout(this.#heldTimer);
    const sinceMs = reducer.hasEnded ? undefined : reducer.heldSinceMs;
    if (sinceMs === undefined) return;
    this.#heldTimer = setTimeout(
      () => {
        if (reducer.hasEnded) return;
        this.#take(reducer.beginHeldCalls(Date.now() - LIMITS.requestReportMs));
        this.#watchHeldCall();
      },
      Math.max(0, sinceMs + LIMITS.requestReportMs - Date.now()),
    );
  }

  /** Handles a prompt that could not be sent. Without an answer OpenCode may work on it nevertheless, so it is aborted. */
  async #refused(error: unknown): Promise<void> {
    const isAnswer = error instanceof OpenCodeError && error.status !== undefined;
    // A broken connection is often the first sign of a crash, and no answer that of an OpenCode that hangs.
    if (!isAnswer) {
      const checked = this.#checkHealth().then(() => sleep(DEATH_NOTICE_MS));
      await Promise.race([this.#ended.promise, checked]);
    }
    if (this.#options.reducer.hasEnded) return;
    this.#close(REFUSED);
    void this.#requestAbort().catch(() => undefined);
  }

  #requestAbort(): Promise<unknown> {
    const { client, sessionId, context, limits } = this.#options;
    const answer = client.abort(sessionId, context, limits.abortTimeoutMs);
    this.#abortAnswer = answer.catch(() => undefined);
    return answer;
  }

  /** From now on the prompt's model calls are refused, also those whose permits were given ahead. */
  #cut(ending: Ending): void {
    const { reducer, agent } = this.#options;
    reducer.cut(ending);
    agent.refuseCalls();
  }

  #close(ending: Ending): void {
    const { reducer } = this.#options;
    if (reducer.hasEnded) return;
    this.#cut(ending);
    // The events held back for the history happened before this end.
    this.#catchUp.flush();
    if (!reducer.hasEnded) this.#take(reducer.close(Date.now(), ending));
  }

  #take(facts: Fact[]): void {
    this.#options.onFacts(facts);
    if (this.#options.reducer.hasEnded) this.#ended.resolve();
  }
}
