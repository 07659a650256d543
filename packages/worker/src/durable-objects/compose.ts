/**
 * Composes a session's object, room by room, each after the rooms that it knows. consequences.ts holds what an event in one room
 * leads to in others.
 */
import { type Env, stubOf } from "../bindings.ts";
import { parseConfig } from "../config.ts";
import { logFailure } from "../log-failure.ts";
import { capacityName } from "./capacity/capacity-calls.ts";
import { composeAnswers } from "./compose-answers.ts";
import { composeDispatch } from "./compose-dispatch.ts";
import { composeExport } from "./compose-export.ts";
import { composeFamily } from "./compose-family.ts";
import { composeProjection } from "./compose-projection.ts";
import { composeRunner } from "./compose-runner.ts";
import { composeSandbox } from "./compose-sandbox.ts";
import { Consequences, type SessionEvent } from "./consequences.ts";
import { AgentRequests } from "./conversation/agent-requests.ts";
import { AttemptOutput } from "./conversation/attempt-output.ts";
import { Conversation } from "./conversation/conversation.ts";
import { PartFeed } from "./conversation/part-feed.ts";
import { Replies } from "./conversation/replies.ts";
import { viewSession } from "./conversation/session-view.ts";
import { TurnRecords } from "./conversation/turn-records.ts";
import { Changes } from "./core/changes.ts";
import { PendingEvents } from "./core/pending-events.ts";
import { upgradeSchema } from "./core/schema.ts";
import { originOfSession, type SessionRecord, SessionState } from "./core/session-state.ts";
import type { TracedSession } from "./core/session-tracer.ts";
import { type TimerHandlers, Timers } from "./core/timers.ts";
import { Transactions } from "./core/transactions.ts";
import { CredentialKeys } from "./credentials/credential-keys.ts";
import { SessionDeletion } from "./deletion/session-deletion.ts";
import { peersOf } from "./family/peers.ts";
import { ClientSockets } from "./link/client-sockets.ts";
import { close } from "./link/connection.ts";
import { RunnerLink } from "./link/runner-link.ts";
import { Intake } from "./queue/intake.ts";
import { JobQueue } from "./queue/job-queue.ts";
import { JobStore } from "./queue/job-store.ts";
import { CapacityLease } from "./sandbox/capacity-lease.ts";
import { nextSleepTryMs } from "./sandbox/sleep-retry.ts";
import { SESSION_MIGRATIONS } from "./session-schema.ts";
import { composeTracePlane } from "./trace-plane.ts";
import { SpanNews } from "./traces/span-news.ts";
import { viewExportProblem } from "./traces/trace-export.ts";
import { Workflows } from "./workflow/workflows.ts";

/** The close code of sockets whose session was deleted: a normal closure (RFC 6455, section 7.4.1). */
const DELETED = 1000;

export type SessionParts = ReturnType<typeof composeSession>;

export function composeSession(ctx: DurableObjectState, env: Env) {
  const {
    publicUrl,
    broker: brokerConfig,
    modelAccess,
    credentialKeys,
    intervals,
    turnBounds,
    providerContext,
    contentMaxBytes,
    agentOtlp,
    retentionMs,
  } = parseConfig(env);
  const report = (error: unknown) => {
    // What was under way when the session was deleted may no longer write, which is no failure.
    if (!transactions.isOver) reportFailure(error);
  };
  const { storage } = ctx;
  const { sql } = storage;
  upgradeSchema(storage, SESSION_MIGRATIONS);
  const now = () => Date.now();
  const background = (work: Promise<void>) => ctx.waitUntil(work);
  const changes = new Changes();
  const state = new SessionState({
    sql,
    now,
    onChange: () => changes.session(),
    isInTransaction: () => transactions.isRunning,
  });
  const sessionId = () => state.maybe?.id ?? ctx.id.name ?? "";

  const clients = new ClientSockets(ctx, now);
  const spanNews: SpanNews = new SpanNews({ clients, afterCommit: (effect) => transactions.afterCommit(effect) });
  const { tracing, traces, exporter, tracer, users } = composeTracePlane({
    env,
    sql,
    onStored: spanNews.add,
    onLost: spanNews.addLost,
    now,
    session: () => ({ id: sessionId(), ...tracedAs(state.maybe) }),
    answeredBy: (requestId) => requests.answeredBy(requestId),
    runnerAheadMs: () => knownAheadMs(state.maybe),
    transact: (work) => transactions.run(work),
    isInTransaction: () => transactions.isRunning,
  });

  const transactions: Transactions = new Transactions(storage, {
    beforeCommit: () => {
      consequences.draw();
      state.store();
      traces.store();
    },
    onCommit: () => {
      timers.arm();
      spanNews.send();
    },
    onRollback: () => {
      state.reload();
      lease.reload();
      traces.reload();
      users.reload();
      exporter.reload();
      consequences.drop();
    },
    report,
  });
  const timers: Timers = new Timers({
    storage,
    now,
    report,
    transact: (work) => transactions.run(work),
    onRollback: (undo) => transactions.onRollback(undo),
    later: (work, delayMs) => {
      setTimeout(() => {
        // The session may have been deleted meanwhile.
        if (!transactions.isOver) work();
      }, delayMs);
    },
    // Before there is a session no view shows a problem, so its alarm would repeat for ever.
    alsoDueMs: () =>
      earliest(
        traces.dueAtMs(),
        exporter.dueAtMs(),
        attention.dueAtMs(),
        state.maybe === undefined ? undefined : exporter.problemDueAtMs(),
      ),
  });

  // What several rooms share.
  const events = new PendingEvents<SessionEvent>();
  const record = (event: SessionEvent) => events.record(event);
  const durable = { sql, timers, transactions, now, retryMs: intervals.retryMs, background, report };
  const link: RunnerLink = new RunnerLink({
    ctx,
    state,
    transactions,
    timers,
    now,
    intervals,
    record,
    onSpans: (frame) => runnerSpans.add(frame),
  });
  const capacityOf = (name: string) => env.CAPACITY.get(env.CAPACITY.idFromName(name));
  const lease: CapacityLease = new CapacityLease({
    ...durable,
    state,
    record,
    brokerUrl: brokerConfig.url,
    capacity: capacityOf,
  });

  // The queue.
  const jobs = new JobStore(sql, transactions);
  const workflows = new Workflows(sql, jobs, lease);
  const queue = new JobQueue({ jobs, workflows, tracer, changes, record, now });
  const intake = new Intake({ state, queue, record, intervals, now, defaultModel: modelAccess.model });

  // The conversation.
  const records = new TurnRecords(sql, now);
  const requests: AgentRequests = new AgentRequests(sql, now, transactions, () => state.record.link.connectionId);
  const parts = new PartFeed();
  const conversation = new Conversation(sql, jobs, workflows, lease, transactions);
  const output = new AttemptOutput({
    jobs,
    workflows,
    conversation,
    requests,
    parts,
    clients,
    transactions,
    changed: () => changes.session(),
  });
  const sleepTryMs = () => nextSleepTryMs(state.record, queue, timers);
  const view = () => {
    const problem = exporter.problem();
    return viewSession(
      state.record,
      queue,
      requests,
      records.lastEndMs(),
      sleepTryMs(),
      lease.place,
      attention.view(),
      problem && viewExportProblem(problem),
    );
  };

  // The answers.
  const callPeer = peersOf(env.DB, (id) => stubOf(env, id));
  const answers = composeAnswers({
    ...{
      env,
      sessionId,
      state,
      queue,
      requests,
      records,
      link,
      traces,
      timers,
      intervals,
      callPeer,
      background,
      now,
      report,
    },
    line: lease,
    nextSleepTryMs: sleepTryMs,
    maxTurnMs: turnBounds.maxTurnMs,
    tracing: tracing.enabled,
    capacity: () => capacityOf(capacityName(brokerConfig.url)),
    newestChildren: (limit) => children.newestIds(limit),
    projectedKey: () => outbox.attentionKey(),
    changed: () => transactions.run(() => changes.session()),
  });
  const { attention, whyAnswer, loadForNow, viewOfNow } = answers;

  // Export and projection.
  const { boundary, recordExportProblem, runExport } = composeExport({
    ...{ state, traces, exporter, timers, transactions, changes, report },
    advanceDeletion: () => deletion.advance(),
  });
  const { outbox, notices } = composeProjection({
    ...durable,
    ...{ env, state, jobs, whyAnswer, view },
    keys: new CredentialKeys(credentialKeys, brokerConfig.secret),
    captureContent: tracing.captureContent,
  });

  // The runner.
  const { credentials, backgroundCheck, runnerConfig, runnerSpans, turnChanges, diff } = composeRunner({
    ...durable,
    ...{
      state,
      link,
      record,
      traces,
      jobs,
      records,
      modelAccess,
      turnBounds,
      agentOtlp,
      contentMaxBytes,
      providerContext,
    },
    keys: new CredentialKeys(credentialKeys, brokerConfig.secret),
    captureContent: tracing.captureContent,
    tracing: tracing.enabled,
    stuckTurnMs: intervals.stuckTurnMs,
  });

  // The sandbox.
  const { lifecycle, orphans, startTimes } = composeSandbox({
    ...durable,
    ...{ env, sessionId, state, tracer, link, record, intervals },
    work: queue,
    publicUrl,
    broker: brokerConfig,
    acceptSpans: (otlp) => traces.acceptSpans(otlp),
  });

  // The family.
  const { children, reports } = composeFamily({
    ...durable,
    ...{ env, state, tracer, callPeer, jobs, conversation, records, credentials, boundary },
    work: queue,
    isOwnTrace: (traceId) => traces.isOwnTrace(traceId),
    respond: (requestId, answer) => link.send({ type: "child-session-response", requestId, answer }),
  });

  // Dispatch.
  const { signs, watchdogs, attempts, scheduler, capacityAnswers } = composeDispatch({
    ...{ state, queue, workflows, lease, lifecycle, link, backgroundCheck, output, traces, runnerSpans },
    ...{ timers, transactions, intervals, now },
    channels: conversation,
    isWaitingForPerson: (attemptId) => requests.isWaiting(attemptId),
  });
  const replies = new Replies({
    requests,
    link,
    state,
    clients,
    transactions,
    endOf: (attemptId) => records.of(attemptId),
    onAnswered: (attemptId) => {
      state.update({ answeredMs: now() });
      watchdogs.touch(attemptId);
    },
  });

  const deletion: SessionDeletion = new SessionDeletion({
    sql,
    storage,
    db: env.DB,
    state,
    transactions,
    timers,
    tracer,
    now,
    retentionMs,
    retryMs: intervals.retryMs,
    lifecycle,
    children,
    exporter,
    notices,
    boundary,
    closeSockets: () => {
      for (const socket of ctx.getWebSockets()) close(socket, DELETED, "the session was deleted");
    },
    restart: () => ctx.abort("the data of a deleted session could not be removed"),
    background,
    report: reportFailure,
  });

  timers.handle({
    ...scheduler.timerHandlers,
    ...watchdogs.timerHandlers,
    ...signs.timerHandlers,
    ...link.timerHandlers,
    ...lease.timerHandlers,
    ...lifecycle.timerHandlers,
    ...orphans.timerHandlers,
    ...outbox.timerHandlers,
    ...notices.timerHandlers,
    ...children.timerHandlers,
    ...reports.timerHandlers,
    ...deletion.timerHandlers,
  } satisfies TimerHandlers);

  const consequences: Consequences = new Consequences({
    events,
    changes,
    state,
    transactions,
    queue,
    workflows,
    scheduler,
    attempts,
    watchdogs,
    signs,
    link,
    runnerConfig,
    backgroundCheck,
    lifecycle,
    lease,
    startTimes,
    conversation,
    output,
    requests,
    records,
    turnChanges,
    children,
    reports,
    deletion,
    traces,
    runnerSpans,
    outbox,
    clients,
    view,
    boundary,
    now,
  });

  return {
    state,
    transactions,
    timers,
    now,
    background,
    intervals,
    view,
    queue,
    workflows,
    intake,
    conversation,
    records,
    diff,
    whyAnswer,
    parts,
    replies,
    clients,
    link,
    lifecycle,
    lease,
    capacityAnswers,
    attempts,
    children,
    reports,
    deletion,
    credentials,
    tracer,
    traces,
    exporter,
    recordExportProblem,
    runExport,
    boundary,
    outbox,
    notices,
    attention,
    loadForNow,
    viewOfNow,
  };
}

/** Returns the session as its spans name it; before it is created, it has no user. */
function tracedAs(record: SessionRecord | undefined): Omit<TracedSession, "id"> {
  if (record === undefined) return { generation: 0, origin: { userId: "" } };
  return { generation: record.generation, origin: originOfSession(record) };
}

/** Less is the time that a hello takes. */
const LEAST_AHEAD_MS = 1000;

function knownAheadMs(record: SessionRecord | undefined): number {
  const aheadMs = Math.round(record?.link.clockOffsetMs ?? 0);
  return Math.abs(aheadMs) < LEAST_AHEAD_MS ? 0 : aheadMs;
}

function earliest(...times: (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

export function reportFailure(error: unknown): void {
  logFailure("a session failed", error);
}
