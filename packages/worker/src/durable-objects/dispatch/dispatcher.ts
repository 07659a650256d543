/**
 * Between queue, link and sandbox: what waits is dispatched as soon as it may, what the runner says of its attempts is noted,
 * and what it fails to say is found out by timers.
 */
import type { Failure } from "@valet/shared/protocol/failure";
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import type { WorkflowStepState } from "@valet/shared/protocol/workflow";
import { endedBy, isSaidBy, type QueueReason } from "@valet/shared/spans";
import { type OpenSpan, parseOpenSpan, type SpanContext } from "@valet/shared/tracing";
import type { Intervals } from "../../config.ts";
import type { AgentRequests } from "../conversation/agent-requests.ts";
import type { Conversation } from "../conversation/conversation.ts";
import type { PartFeed } from "../conversation/part-feed.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { ClientSockets } from "../link/client-sockets.ts";
import type { RunnerFrame, RunnerLink } from "../link/runner-link.ts";
import type { PromptQueue } from "../queue/job-queue.ts";
import type { AttemptRow, QueuedMessage, StopReason } from "../queue/job-store.ts";
import { type BatchLimits, planQueue, type WaitingMessage } from "../queue/queue-rules.ts";
import type { WorkError } from "../queue/queue-spans.ts";
import type { CapacityLease } from "../sandbox/capacity-lease.ts";
import type { SandboxLifecycle } from "../sandbox/sandbox-lifecycle.ts";
import type { TraceStore } from "../traces/trace-store.ts";
import { failureIn } from "./failed-as.ts";
import type { SignsOfLife } from "./signs-of-life.ts";

export type AttemptFrame = Extract<RunnerFrame, { readonly attemptId: string }>;

export interface DispatcherOptions {
  readonly state: SessionState;
  readonly queue: PromptQueue;
  readonly link: RunnerLink;
  readonly lifecycle: SandboxLifecycle;
  readonly lease: Pick<CapacityLease, "place">;
  readonly conversation: Conversation;
  readonly requests: AgentRequests;
  readonly clients: ClientSockets;
  readonly parts: PartFeed;
  readonly traces: Pick<TraceStore, "announce">;
  readonly timers: Timers;
  readonly signs: SignsOfLife;
  readonly transactions: Transactions;
  readonly intervals: Intervals;
  readonly limits: BatchLimits;
  readonly now: () => number;
}

/** What a runner may say that work ended with: by itself, or because it was asked to. */
const WORK_ERRORS: readonly WorkError[] = endedBy("message", "workflow").filter((type) => isSaidBy(type, "runner"));

/** The span of the runner's work on an attempt. */
const WORK_SPANS = { message: "valet.turn", workflow: "valet.workflow.execute" } as const;

/** It was not the turn that came to its end: a runner that restarts, or is told to stop by others than us, says so. */
const RUNNER_ENDED: readonly string[] = ["runner_lost", "runner_shutdown"];

/** The runner's own watchdog comes first; this one is for a runner that is stuck itself. */
const STUCK_FACTOR = 2;

export class Dispatcher {
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    const { timers } = options;
    timers.handle("collect", () => this.pump());
    timers.handle("queue", () => this.pump());
    timers.handle("accept", (attemptId) => this.#onNotAccepted(attemptId));
    timers.handle("abort", (attemptId) => this.#end(attemptId, "aborted"));
    timers.handle("stuck", (attemptId) => this.#onStuck(attemptId));
  }

  /** Moves the queue as far as it goes. To be called within every transaction that changed anything. */
  pump(): void {
    const { state, queue, link, lifecycle, lease, limits, now } = this.#options;
    const { state: session } = state.record;
    const waiting = queue.waiting();
    if (waiting.length > 0 && (session === "hibernated" || session === "error")) {
      const causes = waiting.map(({ id }) => queue.store.message(id)?.promptContext as SpanContext);
      const { kind, id = "" } = waiting[0] ?? {};
      lifecycle.start({
        reason: "message_waiting",
        causes,
        ...(kind === "workflow" ? { executionId: id } : { messageId: id }),
      });
    }
    const busy = new Set(queue.inFlight().map(({ channel }) => channel));
    const { link: linkRecord, state: current } = state.record;
    const runnerReady = linkRecord.state === "connected" && linkRecord.ready;
    const isInLine = lease.place !== undefined;
    const plan = planQueue(waiting, { state: current, runnerReady, isInLine, busy }, limits, now());
    for (const { messages } of plan.dispatches) this.#dispatch(messages, link);
    this.#noteReasons(waiting, plan.reasons);
    this.#setTimers(plan.dueMs, plan.reasons.size > 0, busy.size + plan.dispatches.length > 0);
  }

  /** The session has another place in the line for a sandbox: what is next in each channel waits there. */
  onPlace(place: number): void {
    const { queue } = this.#options;
    const channels = new Set<string>();
    for (const { id, channel, reason } of queue.waiting()) {
      if (reason === "capacity" && !channels.has(channel)) queue.placed(id, place);
      channels.add(channel);
    }
  }

  /**
   * Since when the session has had nothing to do, epoch ms; `undefined` while something is queued or running, and where the
   * runner is not there. What the agent asks a person belongs to a turn that is running.
   */
  get idleSinceMs(): number | undefined {
    const { state, timers } = this.#options;
    const { link, idleTimeoutMs } = state.record;
    const dueMs = link.state === "connected" && link.ready ? timers.dueMs("idle") : undefined;
    return dueMs === undefined ? undefined : dueMs - idleTimeoutMs;
  }

  /** Stops attempts: of a channel, or all. @returns how many */
  stop(reason: StopReason, cause: SpanContext | undefined, channel?: string): number {
    const { queue } = this.#options;
    const attempts = queue.inFlight().filter((attempt) => channel === undefined || attempt.channel === channel);
    const stopped = attempts.filter(({ id }) => queue.stop(id, reason, cause));
    for (const attempt of stopped) this.#sendAbort(attempt.id, reason);
    return stopped.length;
  }

  /** The runner has introduced itself, and told what it works on: our attempts are brought in line with that. */
  onHello(hello: FromRunnerOf<"hello">, isBack: boolean): void {
    const { queue, signs } = this.#options;
    const known = new Set(hello.attempts);
    for (const attempt of queue.inFlight()) {
      if (isBack) this.#addPromptEvent(attempt, "valet.runner.reconnected");
      if (known.has(attempt.id)) {
        this.heard(attempt.id);
        if (attempt.stop !== null) this.#sendAbort(attempt.id, attempt.stop.reason);
      } else if (attempt.state === "dispatched") {
        this.#takeBack(attempt.id, "not_accepted");
      } else {
        queue.lose(attempt.id, false, signs.lastMs(hello.instanceId));
      }
    }
    for (const id of hello.attempts) this.#refuseIfOver(id);
  }

  onLinkDown(): void {
    for (const attempt of this.#options.queue.inFlight()) this.#addPromptEvent(attempt, "valet.runner.disconnected");
  }

  /** Ends what waits. @returns how many */
  endQueued(outcome: "aborted" | "error", errorType: WorkError, cause?: SpanContext, failure?: Failure): number {
    const { queue } = this.#options;
    const waiting = queue.waiting();
    for (const { id } of waiting) queue.endQueued(id, outcome, errorType, cause, failure);
    return waiting.length;
  }

  /** An attempt is over: nothing watches over it any more. */
  onAttemptEnded({ id }: AttemptRow): void {
    const { timers, conversation, requests, clients, parts, transactions } = this.#options;
    for (const kind of ["accept", "abort", "stuck"]) timers.clear(kind, id);
    conversation.breakOff(id);
    parts.forget(id);
    const closed = requests.closeOf(id);
    transactions.afterCommit(() => {
      for (const { id, kind } of closed) {
        if (kind === "permission") clients.broadcast({ type: "permission-closed", permissionId: id });
        else clients.broadcast({ type: "question-closed", questionId: id });
      }
    });
  }

  /** There is a sign of life of an attempt, or an answer that it has waited for: its watchdog begins anew. */
  heard(attemptId: string): void {
    const { queue, timers, intervals, now } = this.#options;
    if (queue.store.attempt(attemptId)?.state !== "accepted") return;
    const dueMs = now() + STUCK_FACTOR * intervals.stuckTurnMs;
    // The timer is all that is known after an eviction. A frame is not worth a write each time.
    const soonMs = dueMs - intervals.stuckTurnMs / 10;
    if ((timers.dueMs("stuck", attemptId) ?? 0) < soonMs) timers.set("stuck", dueMs, { key: attemptId });
  }

  onFrame(frame: AttemptFrame): void {
    const { queue } = this.#options;
    const attempt = queue.store.attempt(frame.attemptId);
    if (attempt === undefined || attempt.state === "ended") {
      if (isEnd(frame)) this.#sendLater({ type: "turn-ended-ack", attemptId: frame.attemptId });
      else if (frame.type === "prompt-accepted") this.#refuseIfOver(frame.attemptId);
      return;
    }
    this.heard(attempt.id);
    if (frame.type === "working") return;
    if (frame.type === "prompt-accepted") this.#onAccepted(attempt, frame);
    else if (frame.type === "prompt-refused") this.#onRefused(attempt, frame);
    else if (frame.type === "part" || frame.type === "part-delta") this.#onPart(attempt, frame);
    else if (frame.type === "permission-asked") this.#onPermissionAsked(attempt, frame);
    else if (frame.type === "question-asked") this.#onQuestionAsked(attempt, frame);
    else if (frame.type === "workflow-step") this.#onStep(attempt, frame);
    else this.#onEnded(attempt, frame);
  }

  #dispatch(messages: readonly WaitingMessage[], link: RunnerLink): void {
    const { state, queue, conversation, timers, transactions, intervals, now } = this.#options;
    const { generation, model, models } = state.record;
    const channel = messages[0]?.channel ?? "";
    const session = conversation.agentSession(channel);
    const frame = queue.dispatch(
      messages.map(({ id }) => id),
      {
        ...{ generation, model, models, opencodeSessionId: session?.id },
        // An agent whose sandbox is new may not have the session after all.
        continuationContext: session?.generation === generation ? undefined : conversation.digest(channel),
      },
    );
    const { attemptId } = frame.dispatch;
    timers.set("accept", now() + intervals.acceptMs, { key: attemptId });
    transactions.afterCommit(() => {
      if (!link.send(frame)) transactions.run(() => this.#takeBack(attemptId, "send_failed"));
    });
  }

  #noteReasons(waiting: readonly QueuedMessage[], reasons: ReadonlyMap<string, QueueReason>): void {
    const { state, queue, lease } = this.#options;
    const { operation, snapshot } = state.record;
    const turns = new Map(queue.inFlight().map(({ channel, context }) => [channel, context]));
    const inFront = new Set<string>();
    for (const message of waiting) {
      const { channel } = message;
      const reason = reasons.get(message.id);
      if (reason === undefined) continue;
      const on: { readonly [R in QueueReason]?: SpanContext | undefined } = {
        runner_busy: turns.get(channel),
        system_message: turns.get(channel),
        sandbox_starting: operation?.context,
        initial_prompt: operation?.context,
        capacity: operation?.context,
        sandbox_restoring: operation?.context,
        sandbox_hibernated: operation?.context ?? snapshot?.madeBy,
      };
      // Only who is next follows from turn to turn: for all to do so would cost a write for each of them, each time.
      queue.waitFor(message, reason, on[reason], !inFront.has(channel), lease.place);
      inFront.add(channel);
    }
  }

  #setTimers(nextDueMs: number | undefined, isWaiting: boolean, isBusy: boolean): void {
    const { state, timers, signs, intervals, now } = this.#options;
    if (nextDueMs === undefined) timers.clear("collect");
    else timers.set("collect", nextDueMs);
    this.#keepTimer("queue", isWaiting, now() + intervals.queueWatchdogMs);
    const { state: session, idleTimeoutMs } = state.record;
    this.#keepTimer("idle", session === "running" && !isWaiting && !isBusy, now() + idleTimeoutMs);
    signs.watch(isBusy);
  }

  /** A timer that runs from when its condition began to hold. */
  #keepTimer(kind: string, holds: boolean, dueMs: number): void {
    const { timers } = this.#options;
    if (!holds) timers.clear(kind);
    else if (timers.dueMs(kind) === undefined) timers.set(kind, dueMs);
  }

  #onAccepted(attempt: AttemptRow, { span }: FromRunnerOf<"prompt-accepted">): void {
    const { queue, timers } = this.#options;
    queue.accepted(attempt.id);
    timers.clear("accept", attempt.id);
    this.heard(attempt.id);
    // Told again, it may have ended: by then span frames say what is open, in order with the ends.
    if (attempt.state !== "dispatched") return;
    const isOwn = ({ name, parent }: OpenSpan) =>
      name === WORK_SPANS[queue.kindOf(attempt)] && parent?.spanId === attempt.context.spanId;
    this.#announce(attempt, span, isOwn);
  }

  /** Shows a span that the runner has begun, if it is of the attempt's trace and is what it should be. */
  #announce(attempt: AttemptRow, text: string | undefined, isExpected: (span: OpenSpan) => boolean): void {
    const { state, traces } = this.#options;
    const span = text === undefined ? undefined : parseOpenSpan(text);
    const { instanceId } = state.record.link;
    if (span === undefined || instanceId === undefined || !isExpected(span)) return;
    if (span.context.traceId === attempt.context.traceId) traces.announce(instanceId, span);
  }

  #onPart(attempt: AttemptRow, frame: FromRunnerOf<"part" | "part-delta">): void {
    const { queue, conversation, clients, parts, transactions } = this.#options;
    const heard = parts.hear(attempt.messageIds.at(-1) ?? "", frame);
    if (heard === undefined) return;
    if (queue.kindOf(attempt) === "message") conversation.addPart(attempt.id, heard.part);
    transactions.afterCommit(() => clients.broadcast(heard.event));
  }

  #onStep(attempt: AttemptRow, { state, span }: FromRunnerOf<"workflow-step">): void {
    const isNew = this.#recordStep(attempt, state);
    if (isNew) this.#announce(attempt, span, ({ name }) => name.startsWith("valet.workflow.step "));
  }

  /** @returns whether that said anything new */
  #recordStep({ messageIds }: AttemptRow, state: WorkflowStepState): boolean {
    const { queue, clients, transactions } = this.#options;
    const executionId = messageIds[0] ?? "";
    const step = queue.workflows.record(executionId, state);
    if (step === undefined) return false;
    const { index } = state;
    transactions.afterCommit(() => clients.broadcast({ type: "workflow-step", executionId, index, step }));
    return true;
  }

  #onPermissionAsked(attempt: AttemptRow, frame: FromRunnerOf<"permission-asked">): void {
    const { requests, clients, transactions } = this.#options;
    const permission = requests.askedLeave(frame, attempt.messageIds.at(-1) ?? "");
    if (permission === undefined) return;
    transactions.afterCommit(() => clients.broadcast({ type: "permission-asked", permission }));
  }

  #onQuestionAsked(attempt: AttemptRow, frame: FromRunnerOf<"question-asked">): void {
    const { requests, clients, transactions } = this.#options;
    const question = requests.askedQuestion(frame, attempt.messageIds.at(-1) ?? "");
    if (question === undefined) return;
    transactions.afterCommit(() => clients.broadcast({ type: "question-asked", question }));
  }

  #onEnded(attempt: AttemptRow, frame: EndFrame): void {
    const { state, queue, conversation, signs, now } = this.#options;
    const { outcome, errorType, opencodeSessionId, summary = null } = frame;
    if (opencodeSessionId !== undefined) {
      conversation.setAgentSession(attempt.channel, opencodeSessionId, state.record.generation);
    }
    if (frame.type === "turn-ended") conversation.finish(attempt.id, frame.parts);
    else for (const step of frame.steps) this.#recordStep(attempt, step);
    const isRunnerEnd = outcome !== "ok" && RUNNER_ENDED.includes(errorType ?? "");
    if (isRunnerEnd && attempt.stop === null) {
      // A runner that takes another's place answers for that one's work.
      const lostMs = errorType === "runner_lost" ? signs.lastMs(state.record.link.instanceId) : now();
      queue.lose(attempt.id, false, lostMs, summary);
    } else if (isRunnerEnd) {
      // Whatever ended it, its end had been asked for.
      queue.end(attempt.id, "aborted", undefined, summary);
    } else if (frame.type === "workflow-ended" && (outcome === "ok" || errorType === "workflow_step_failed")) {
      // Steps of an earlier attempt count, too.
      const own = queue.workflows.outcome(attempt.messageIds[0] ?? "");
      queue.end(attempt.id, own.outcome, own.errorType, summary, own.failure);
    } else {
      queue.end(attempt.id, outcome, outcome === "ok" ? undefined : workError(errorType), summary, failureIn(frame));
    }
    this.#sendLater({ type: "turn-ended-ack", attemptId: attempt.id });
  }

  #onNotAccepted(attemptId: string): void {
    const { queue, state, timers, intervals, now } = this.#options;
    if (queue.store.attempt(attemptId)?.state !== "dispatched") return;
    if (state.record.link.state !== "connected") {
      // The runner may have it and cannot say so: that is for its hello, or the end of the grace period, to tell.
      timers.set("accept", now() + intervals.acceptMs, { key: attemptId });
      return;
    }
    // Should it come to it after all, it finds it aborted.
    this.#sendAbort(attemptId, "user_abort");
    queue.takeBack(attemptId, "not_accepted", 0, true);
  }

  #onStuck(attemptId: string): void {
    const { requests, state } = this.#options;
    // Until a person has answered there is nothing to be heard; nor while the runner is away, which may end the turn by itself.
    if (requests.isWaiting(attemptId) || state.record.link.state !== "connected") {
      this.heard(attemptId);
    } else {
      this.#sendLater({ type: "abort", attemptId, reason: "stuck_turn" });
      this.#end(attemptId, "error", "stuck_turn");
    }
  }

  #takeBack(attemptId: string, errorType: "send_failed" | "not_accepted"): void {
    this.#options.queue.takeBack(attemptId, errorType, 0);
  }

  /** It may be about to end, and would refuse the next attempt as quickly as this one. */
  #onRefused({ id }: AttemptRow, { errorType }: FromRunnerOf<"prompt-refused">): void {
    const { queue, intervals } = this.#options;
    if (errorType === "workflow_invalid") queue.refuse(id, errorType);
    else queue.takeBack(id, "not_accepted", intervals.retryMs);
  }

  #end(attemptId: string, outcome: "aborted" | "error", errorType?: WorkError): void {
    this.#options.queue.end(attemptId, outcome, errorType);
  }

  #sendAbort(attemptId: string, reason: StopReason): void {
    const { timers, intervals, now } = this.#options;
    if (timers.dueMs("abort", attemptId) === undefined) {
      timers.set("abort", now() + intervals.abortMs, { key: attemptId });
    }
    this.#sendLater({ type: "abort", attemptId, reason });
  }

  /** The runner works on what is over for us: taken back, or ended without it. */
  #refuseIfOver(attemptId: string): void {
    const attempt = this.#options.queue.store.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended") {
      this.#sendLater({ type: "abort", attemptId, reason: attempt?.stop?.reason ?? "user_abort" });
    }
  }

  #sendLater(frame: ToRunner): void {
    const { link, transactions } = this.#options;
    transactions.afterCommit(() => link.send(frame));
  }

  #addPromptEvent(attempt: AttemptRow, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    for (const id of attempt.messageIds) this.#options.queue.addEvent(id, event);
  }
}

type EndFrame = FromRunnerOf<"turn-ended"> | FromRunnerOf<"workflow-ended">;

function isEnd(frame: AttemptFrame): frame is EndFrame {
  return frame.type === "turn-ended" || frame.type === "workflow-ended";
}

function workError(errorType: string | undefined): WorkError {
  return WORK_ERRORS.find((type) => type === errorType) ?? "_OTHER";
}
