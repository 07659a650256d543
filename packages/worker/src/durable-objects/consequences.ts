/**
 * Handles what an event in one room leads to in others. A room records its events and calls no other room. Their consequences
 * happen here, before the transaction commits, so that a cause and its consequences are stored together or not at all. The order:
 *
 * 1. Each event, in the order of recording. Further events that it causes follow after those already recorded.
 * 2. When no event is left and the queue may move, the scheduler dispatches every job that may run now; then again from 1.
 * 3. Reports that depend on the final state: to the session's parent, and to the broker's capacity object.
 * 4. The outbox to D1 schedules a write if the session has changed. After the commit, the clients receive the changes.
 * 5. A deletion takes the steps that are due: it waits for all calls of before.
 */

import type { SessionView, TurnRecord } from "@valet/shared/protocol/session-view";
import type { ErrorType } from "@valet/shared/spans";
import type { ChangesEvent, TurnChanges } from "./changes/turn-changes.ts";
import type { AgentRequests } from "./conversation/agent-requests.ts";
import type { AttemptOutput } from "./conversation/attempt-output.ts";
import type { Conversation } from "./conversation/conversation.ts";
import type { TurnRecords } from "./conversation/turn-records.ts";
import type { Changes } from "./core/changes.ts";
import type { PendingEvents } from "./core/pending-events.ts";
import type { SessionState } from "./core/session-state.ts";
import type { Transactions } from "./core/transactions.ts";
import type { SessionDeletion } from "./deletion/session-deletion.ts";
import type { Attempts } from "./dispatch/attempts.ts";
import type { Scheduler } from "./dispatch/scheduler.ts";
import type { SignsOfLife } from "./dispatch/signs-of-life.ts";
import type { Watchdogs } from "./dispatch/watchdogs.ts";
import type { ChildSessions } from "./family/child-sessions.ts";
import type { ParentReports } from "./family/parent-reports.ts";
import type { BackgroundCheck } from "./link/background-check.ts";
import type { ClientSockets } from "./link/client-sockets.ts";
import { type FrameRoutes, routeFrame } from "./link/frame-router.ts";
import type { LinkEvent } from "./link/link-event.ts";
import type { RunnerConfig } from "./link/runner-config.ts";
import type { RunnerLink } from "./link/runner-link.ts";
import type { ProjectionOutbox } from "./projection/projection-outbox.ts";
import type { JobQueue } from "./queue/job-queue.ts";
import type { JobRow } from "./queue/job-store.ts";
import type { QueueEvent } from "./queue/ports.ts";
import type { CapacityLease } from "./sandbox/capacity-lease.ts";
import type { SandboxEvent } from "./sandbox/ports.ts";
import type { SandboxLifecycle } from "./sandbox/sandbox-lifecycle.ts";
import type { StartTimes } from "./sandbox/start-times.ts";
import type { ProgressEvent, RunnerSpans } from "./traces/runner-spans.ts";
import type { TraceStore } from "./traces/trace-store.ts";
import type { Workflows } from "./workflow/workflows.ts";

/** Any event that a room records. */
export type SessionEvent = QueueEvent | SandboxEvent | LinkEvent | ProgressEvent | ChangesEvent;
type EventOf<T extends SessionEvent["type"]> = Extract<SessionEvent, { readonly type: T }>;

export interface ConsequencesOptions {
  readonly events: PendingEvents<SessionEvent>;
  readonly changes: Changes;
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly queue: JobQueue;
  readonly workflows: Workflows;
  readonly scheduler: Scheduler;
  readonly attempts: Attempts;
  readonly watchdogs: Watchdogs;
  readonly signs: SignsOfLife;
  readonly link: RunnerLink;
  readonly runnerConfig: RunnerConfig;
  readonly backgroundCheck: BackgroundCheck;
  readonly lifecycle: SandboxLifecycle;
  readonly lease: CapacityLease;
  readonly startTimes: StartTimes;
  readonly conversation: Conversation;
  readonly output: AttemptOutput;
  readonly requests: Pick<AgentRequests, "answerersOf">;
  readonly records: TurnRecords;
  readonly turnChanges: TurnChanges;
  readonly children: ChildSessions;
  readonly reports: ParentReports;
  readonly deletion: SessionDeletion;
  readonly traces: TraceStore;
  readonly runnerSpans: RunnerSpans;
  readonly outbox: ProjectionOutbox;
  readonly clients: ClientSockets;
  readonly view: () => SessionView;
  /** Passes the recorded spans to the export. Called where the object may go idle next. */
  readonly boundary: () => void;
  readonly now: () => number;
}

/** Stages that a runner reaches only with its configuration, whose secrets it keeps for its successors in this sandbox. */
const HAS_SECRETS: ReadonlySet<string> = new Set(["opencode_starting", "git_setup", "ready"]);

/** How often the scheduler may run in one transaction, since its own work can move the queue. More would be an internal error. */
const MAX_ROUNDS = 8;

export class Consequences {
  readonly #options: ConsequencesOptions;
  readonly #routes: FrameRoutes;

  constructor(options: ConsequencesOptions) {
    this.#options = options;
    const { attempts, runnerSpans, link, lifecycle, backgroundCheck, turnChanges, children } = options;
    this.#routes = {
      attempt: (frame) => attempts.onFrame(frame),
      stage: (frame) => {
        // After a failed start the object closes the link, which would lose its buffered spans.
        if (frame.stage === "failed") runnerSpans.flush();
        if (HAS_SECRETS.has(frame.stage)) link.recordSecretsKept();
        lifecycle.onStage(frame);
      },
      warnings: (frame) => link.storeWarnings(frame),
      stopped: () => {
        // The object closes the link now, which would lose its buffered spans.
        runnerSpans.flush();
        lifecycle.onStopped();
      },
      background: (frame) => backgroundCheck.answered(frame),
      changes: (frame) => turnChanges.onFrame(frame),
      childSession: (frame) => children.onRequest(frame),
    };
  }

  /** Handles every event that the current transaction has recorded. */
  draw(): void {
    const { state, changes, scheduler, reports, lease, deletion } = this.#options;
    if (state.maybe === undefined) return;
    this.#drain();
    for (let round = 0; changes.takeMoved() && round < MAX_ROUNDS; round++) {
      scheduler.pump();
      this.#drain();
    }
    reports.recordDue();
    lease.reportNeed();
    this.#publish();
    deletion.advance();
  }

  /** Forgets the events of a transaction that was rolled back. */
  drop(): void {
    this.#options.events.take();
    this.#options.changes.take();
  }

  #drain(): void {
    const { events } = this.#options;
    for (let taken = events.take(); taken.length > 0; taken = events.take()) {
      for (const event of taken) this.#follow(event);
    }
  }

  #follow(event: SessionEvent): void {
    const { queue, scheduler, attempts, link, runnerConfig, lifecycle, conversation } = this.#options;
    const { reports, children, deletion, transactions, boundary } = this.#options;
    switch (event.type) {
      // The queue.
      case "attempt-ended":
        return this.#onAttemptEnded(event);
      case "job-ended":
        return this.#onJobEnded(event);
      case "steered":
        attempts.stop("steered", event.asker, event.channel);
        return;
      case "parent-waits":
        return reports.expect(event.messageId);
      case "progress":
        return queue.storeProgress(event.attemptId, event.summary);
      case "changes-reported":
        return this.#onChangesReported(event);
      // The link to the runner.
      case "hello":
        runnerConfig.send();
        attempts.onHello(event.hello, event.isBack);
        return lifecycle.onHello(event.isBack);
      case "frame":
        return routeFrame(event.frame, this.#routes);
      case "foreign-runner":
        return lifecycle.onForeign(event.protocols);
      case "link-down":
        return this.#onLinkDown(event);
      case "link-gone":
        return lifecycle.onLinkGone();
      // The sandbox.
      case "turn-granted":
        return lifecycle.onTurn();
      case "place-changed":
        this.#options.changes.session();
        lifecycle.onPlace(event.place);
        return scheduler.onPlace(event.place);
      case "generation-began":
        if (event.isFresh) conversation.forgetAgentSessions();
        return;
      case "runners-ended":
        return this.#onRunnersEnded(event.runners, true, event.cause);
      case "generation-ended":
        return this.#onRunnersEnded(event.runners, event.keptFiles, event.cause);
      case "hibernating":
        return queue.closeBatches();
      case "stop-runner":
        transactions.afterCommit(() => link.send({ type: "shutdown", reason: event.reason }));
        return;
      case "gave-up":
        attempts.endQueued("error", event.errorType, undefined, event.failure);
        return boundary();
      case "terminating":
        attempts.endQueued("aborted", "session_terminated", event.asker);
        attempts.stop("session_terminated", event.asker);
        return children.endAll();
      case "hibernated":
        return boundary();
      case "terminated":
        deletion.onTerminated();
        return boundary();
      default:
        // With a further event, this does not compile.
        event satisfies never;
    }
  }

  #onAttemptEnded({ attempt, jobs, end }: EventOf<"attempt-ended">): void {
    const { state, watchdogs, output, requests, children, records, startTimes } = this.#options;
    watchdogs.clear(attempt.id);
    output.end(attempt.id);
    children.attemptEnded(attempt.id, end);
    // An attempt that the runner did not accept is no turn.
    if (attempt.acceptedMs === null) return;
    const answerers = requests.answerersOf(attempt.id);
    const wait = (fromMs: number, toMs: number) => startTimes.within(fromMs, toMs);
    const record = records.write(attempt, jobs, end, state.record, answerers, wait);
    this.#options.outbox.addTurn(record, end.stepDurations);
    this.#showRecord(record);
  }

  #onChangesReported({ attemptId }: EventOf<"changes-reported">): void {
    const record = this.#options.records.of(attemptId);
    if (record === undefined) return;
    this.#options.outbox.updateTurn(record);
    this.#showRecord(record);
  }

  /** Sends a new or changed record to clients. */
  #showRecord(record: TurnRecord): void {
    const { clients, transactions } = this.#options;
    transactions.afterCommit(() => clients.broadcast({ type: "turn", turn: record }));
  }

  /** Remembers the job that ended last if it failed; the session needs attention until another one ends otherwise. */
  #onJobEnded({ job: { id, kind }, outcome, errorType = "_OTHER", failure }: EventOf<"job-ended">): void {
    const { state, now } = this.#options;
    const hasFailed = outcome === "error" || outcome === "lost";
    if (hasFailed) state.update({ lastFailure: { id, kind, errorType, failure, atMs: now() } });
    else if (state.record.lastFailure !== undefined) state.update({ lastFailure: undefined });
  }

  #onLinkDown({ instanceId, isClosed }: EventOf<"link-down">): void {
    const { runnerSpans, traces, attempts, lifecycle } = this.#options;
    runnerSpans.flush();
    if (isClosed && instanceId !== undefined) traces.touch(instanceId);
    attempts.onLinkDown();
    lifecycle.onLinkDown();
  }

  #onRunnersEnded(runners: EventOf<"generation-ended">["runners"], keptFiles: boolean, cause?: ErrorType): void {
    const { runnerSpans, signs, queue, traces } = this.#options;
    runnerSpans.flush();
    queue.loseAll(!keptFiles, signs.lastOf(runners), cause);
    for (const instanceId of runners.instances) traces.seal(instanceId, "runner_lost", cause);
  }

  #publish(): void {
    const { changes, outbox, transactions, clients, queue, conversation, workflows, view } = this.#options;
    const { session, jobs } = changes.take();
    if (session) outbox.sessionChanged();
    transactions.afterCommit(() => {
      if (clients.isEmpty) return;
      for (const id of jobs) {
        const row = queue.jobs.job(id) as JobRow;
        if (row.kind === "message") clients.broadcast({ type: "message", message: conversation.view(row) });
        else clients.broadcast({ type: "workflow", workflow: workflows.view(row) });
      }
      if (session) clients.broadcast({ type: "session", session: view() });
    });
  }
}
