/**
 * Puts the parts of a session together. Whatever happens in a transaction, the queue is moved on within it and what changed
 * is noted for D1; after the commit it is told to clients and the alarm is set.
 */
import { DOUBLE_KEYS, type ValetSpans } from "@valet/shared/spans";
import { type ReadableSpan, recordDropped, strictlyIncreasing, Tracer, wallClock } from "@valet/shared/tracing";
import { type Env, stubOf } from "../bindings.ts";
import { SandboxBroker } from "../broker/client.ts";
import { allowsFileRepos, parseCapacity, parseConfig, sandboxVariables } from "../config.ts";
import { logFailure } from "../log-failure.ts";
import { SCOPE, warn, warnOfExport, workerTracing } from "../worker-tracing.ts";
import { AgentRequests } from "./conversation/agent-requests.ts";
import { Conversation } from "./conversation/conversation.ts";
import { PartFeed } from "./conversation/part-feed.ts";
import { viewSession } from "./conversation/session-view.ts";
import { TurnRecords } from "./conversation/turn-records.ts";
import { Changes } from "./core/changes.ts";
import { BATCH_LIMITS, MAIN_CHANNEL } from "./core/limits.ts";
import { upgradeSchema } from "./core/schema.ts";
import { SessionState } from "./core/session-state.ts";
import { SessionTracer, type SpanStore } from "./core/session-tracer.ts";
import { Timers } from "./core/timers.ts";
import { Transactions } from "./core/transactions.ts";
import { CredentialKeys } from "./credentials/credential-keys.ts";
import { SessionCredentials } from "./credentials/session-credentials.ts";
import { Dispatcher } from "./dispatch/dispatcher.ts";
import { SignsOfLife } from "./dispatch/signs-of-life.ts";
import { ChildSessions } from "./family/child-sessions.ts";
import { ParentReports } from "./family/parent-reports.ts";
import { BackgroundCheck } from "./link/background-check.ts";
import { ClientSockets } from "./link/client-sockets.ts";
import { RunnerEvents } from "./link/frame-router.ts";
import { RunnerLink } from "./link/runner-link.ts";
import { ProjectionOutbox } from "./projection/projection-outbox.ts";
import { Intake } from "./queue/intake.ts";
import { type AttemptEnd, PromptQueue } from "./queue/job-queue.ts";
import type { AttemptRow, MessageRow } from "./queue/job-store.ts";
import { BrokerCalls } from "./sandbox/broker-calls.ts";
import { CapacityLease } from "./sandbox/capacity-lease.ts";
import { Operations } from "./sandbox/operations.ts";
import { Orphans } from "./sandbox/orphans.ts";
import { type LifecycleListener, SandboxLifecycle } from "./sandbox/sandbox-lifecycle.ts";
import { SESSION_MIGRATIONS } from "./session-schema.ts";
import { TraceExport } from "./traces/trace-export.ts";
import { TraceStore } from "./traces/trace-store.ts";

/** Of a session's spans, gzip'd: about twenty times that as JSON. The object may have 10 GB. */
const MAX_TRACE_BYTES = 256 * 1024 * 1024;

/** What moves a queue on can itself call for another look at it; more often than this would be a bug. */
const MAX_PUMPS = 8;

export type SessionParts = ReturnType<typeof composeSession>;

export function composeSession(ctx: DurableObjectState, env: Env) {
  const { publicUrl, broker: brokerConfig, modelAccess, credentialKeys, intervals, turnBounds } = parseConfig(env);
  const workersTracing = workerTracing(env);
  const { config: tracing, resource } = workersTracing;
  const { storage } = ctx;
  const { sql } = storage;
  upgradeSchema(storage, SESSION_MIGRATIONS);
  const now = () => Date.now();
  const background = (work: Promise<void>) => ctx.waitUntil(work);
  const changes = new Changes();
  const state = new SessionState(sql, now, () => changes.session());
  const sessionId = () => state.maybe?.id ?? ctx.id.name ?? "";

  // The trace plane.
  const traces = new TraceStore(storage, {
    sessionId: sessionId(),
    resource: { ...resource, "valet.session.id": sessionId() },
    segmentDelayMs: tracing.scheduleDelayMs,
    limits: tracing.limits,
    maxBytes: MAX_TRACE_BYTES,
    ownTracesOnly: true,
    now,
  });
  const exporter = new TraceExport(sql, traces, {
    ...{ url: tracing.endpoint, headers: tracing.headers, compression: tracing.compression },
    ...{ timeoutMs: tracing.timeoutMs, now, onDiagnostic: warnOfExport(workersTracing), sessionId: sessionId() },
  });
  const sink = noting(traces, changes);
  const tracer = new SessionTracer(
    new Tracer<ValetSpans>({
      ...{ scope: SCOPE, sink, limits: tracing.limits, enabled: tracing.enabled, onDiagnostic: warn },
      ...{ captureContent: tracing.captureContent, sampler: recordDropped(tracing.sampler) },
      ...{ clock: strictlyIncreasing(wallClock), doubleKeys: DOUBLE_KEYS },
    }),
    sink,
    () => ({ id: sessionId(), generation: state.maybe?.generation ?? 0 }),
  );

  const transactions: Transactions = new Transactions(storage, {
    beforeCommit: () => beforeCommit(),
    onCommit: () => timers.arm(),
    onRollback: () => {
      state.reload();
      lease.reload();
      changes.take();
    },
    report,
  });
  const timers: Timers = new Timers({
    ...{ storage, now, report },
    transact: (work) => transactions.run(work),
    // Without a session nobody shows a problem, and an alarm for it would come again and again.
    alsoDueMs: () =>
      earliest(traces.dueAtMs(), exporter.dueAtMs(), state.maybe === undefined ? undefined : exporter.problemDueAtMs()),
  });

  const durable = { sql, timers, transactions, now, retryMs: intervals.retryMs, background, report };

  // The session.
  const records = new TurnRecords(sql, now);
  const requests = new AgentRequests(sql, now);
  const clients = new ClientSockets(ctx, now);
  const parts = new PartFeed();
  const capacityPlace = () => lease.place;
  const queueListener = {
    messageChanged: (id: string) => changes.message(id),
    attemptEnded: (attempt: AttemptRow, end: AttemptEnd) => onAttemptEnded(attempt, end),
  };
  const queue: PromptQueue = new PromptQueue(sql, tracer, now, queueListener, capacityPlace);
  const conversation = new Conversation(sql, queue.store, queue.workflows, capacityPlace);
  const view = () => viewSession(state.record, queue, requests, lease.place, exporter.problem());
  /** Where spans begin or cease to be late, the session says so. */
  const noteExport = () => {
    if (state.maybe === undefined) return;
    transactions.run(() => {
      if (exporter.problemChanged()) changes.session();
    });
  };
  /** Sends what is due. Never rejects. */
  const runExport = async () => {
    await exporter.start();
    noteExport();
    timers.arm();
  };
  const outbox = new ProjectionOutbox({
    ...{ ...durable, db: env.DB },
    session: () => ({ ownerId: state.record.ownerId, view: view() }),
  });
  const credentials = new SessionCredentials({
    ...{ state, transactions, background, report },
    keys: new CredentialKeys(credentialKeys, brokerConfig.secret),
  });
  const backgroundCheck = new BackgroundCheck((frame) => link.send(frame));
  const events = new RunnerEvents({
    ...{ state, transactions, traces, queue, changes, modelAccess, captureContent: tracing.captureContent },
    ...{ tracing: tracing.enabled, stuckTurnMs: intervals.stuckTurnMs, turnBounds, credentials, background },
    ...{ link: () => link, dispatcher: () => dispatcher, lifecycle: () => lifecycle, children: () => children, report },
    backgroundCheck,
  });
  const link: RunnerLink = new RunnerLink({ ctx, state, transactions, timers, now, intervals, events });
  const broker = new SandboxBroker({
    ...{ url: brokerConfig.url, secret: brokerConfig.secret, timeoutMs: intervals.brokerCallMs },
    snapshotMs: intervals.snapshotMs,
    fetch: (input, init) => fetch(input, init),
  });
  const calls = new BrokerCalls({
    ...{ sql, tracer, transactions, url: brokerConfig.url, background, report },
    acceptSpans: (otlp) => traces.acceptSpans(otlp),
  });
  const orphans = new Orphans({ ...durable, calls, broker, sessionId, callMs: intervals.brokerCallMs });
  const boundary = () => {
    traces.fold((segmentId) => exporter.isSettled(segmentId));
  };
  const family = {
    ...{ ...durable, state, tracer },
    peer: (id: string) => stubOf(env, id),
  };
  const children = new ChildSessions({
    ...{ ...family, db: env.DB, allowsFileRepos: allowsFileRepos(env) },
    openCredentials: () => credentials.openForClone(),
    isOwnTrace: (traceId) => traces.isOwnTrace(traceId),
    channelOf: (attemptId) => queue.store.attempt(attemptId ?? "")?.channel ?? MAIN_CHANNEL,
    respond: (requestId, answer) => link.send({ type: "child-session-response", requestId, answer }),
  });
  const reports = new ParentReports({ ...family, queue, conversation, records, boundary });
  const listener: LifecycleListener = {
    isBusy: () => queue.inFlight().length > 0,
    hasWork: () => queue.waiting().length > 0,
    lastWorkMs: () => queue.store.newestEndMs(),
    generationBegan: (isFresh) => {
      if (isFresh) conversation.forgetAgentSessions();
    },
    generationEnded: (keptFiles) => {
      events.flushSpans();
      signs.store();
      queue.loseAll(!keptFiles, signs.lastMs());
      for (const instanceId of state.record.link.instances) traces.seal(instanceId, "runner_lost");
    },
    hibernating: () => queue.closeBatches(),
    gaveUp: (errorType, failure) => dispatcher.endQueued("error", errorType, undefined, failure),
    terminating: (cause) => {
      dispatcher.endQueued("aborted", "session_terminated", cause);
      dispatcher.stop("session_terminated", cause);
      children.endAll();
    },
    boundary,
  };
  const operations = new Operations(state, tracer, calls, now);
  const lease: CapacityLease = new CapacityLease({
    ...{ sql, state, timers, transactions, now, retryMs: intervals.retryMs, background, report },
    brokerUrl: brokerConfig.url,
    capacity: (name) => env.CAPACITY.get(env.CAPACITY.idFromName(name)),
    onGranted: () => lifecycle.onTurn(),
    onPlace: (place) => {
      changes.session();
      operations.waitAt(place);
      dispatcher.onPlace(place);
    },
  });
  const { awake, starting } = parseCapacity(env);
  const lifecycle: SandboxLifecycle = new SandboxLifecycle({
    ...{ state, operations, transactions, timers, link, broker, calls, orphans },
    ...{ records, intervals, now, listener, background, report, mustWait: awake < Infinity || starting < Infinity },
    sandboxEnv: (id, generation) => sandboxVariables(env, publicUrl, id, generation),
  });
  const signs = new SignsOfLife({
    ...{ state, timers, link, traces, now },
    isWorking: () => queue.inFlight().length > 0,
  });
  const dispatcher: Dispatcher = new Dispatcher({
    ...{ state, queue, link, lifecycle, lease, conversation, requests, clients, parts, traces, timers },
    ...{ signs, transactions },
    ...{ intervals, now, limits: { ...BATCH_LIMITS, collectMaxMs: intervals.collectMaxMs } },
  });

  const intake = new Intake({
    ...{ state, queue, dispatcher, reports, intervals, now },
    defaultModel: modelAccess.model,
  });

  function onAttemptEnded(attempt: AttemptRow, end: AttemptEnd): void {
    dispatcher.onAttemptEnded(attempt);
    children.attemptEnded(attempt.id, end);
    // What the runner never took was no turn.
    if (attempt.acceptedMs === null) return;
    const messages = attempt.messageIds.map((id) => queue.store.message(id) as MessageRow);
    const record = records.write(attempt, messages, end, sessionId());
    outbox.addTurn(record);
    transactions.afterCommit(() => clients.broadcast({ type: "turn", turn: record }));
  }

  function beforeCommit(): void {
    if (state.maybe === undefined) return;
    for (let pumps = 0; changes.takeMoved() && pumps < MAX_PUMPS; pumps++) dispatcher.pump();
    reports.note();
    lease.note();
    const { session, messages, traces: traceIds } = changes.take();
    if (session) outbox.sessionChanged();
    transactions.afterCommit(() => {
      if (clients.isEmpty) return;
      for (const id of messages) {
        const row = queue.store.message(id) as MessageRow;
        if (row.kind === "message") clients.broadcast({ type: "message", message: conversation.view(row) });
        else clients.broadcast({ type: "workflow", workflow: queue.workflows.view(row) });
      }
      if (session) clients.broadcast({ type: "session", session: view() });
      if (traceIds.length > 0) clients.broadcast({ type: "traces", traceIds: [...traceIds] });
    });
  }

  return {
    ...{
      state,
      transactions,
      timers,
      queue,
      conversation,
      records,
      requests,
      clients,
      parts,
      link,
      lifecycle,
      dispatcher,
    },
    ...{ traces, exporter, noteExport, runExport, outbox, intake, credentials, children, reports, intervals, view },
    ...{ now, background, lease, backgroundCheck },
  };
}

/** A store that says which traces it was given spans of. */
function noting(store: TraceStore, changes: Changes): SpanStore {
  const note = (span: ReadableSpan) => changes.trace(span.context.traceId);
  return {
    onStart: (span) => {
      note(span);
      store.onStart(span);
    },
    onEnd: (span) => {
      note(span);
      store.onEnd(span);
    },
    openSpan: (spanId) => store.openSpan(spanId),
  };
}

function earliest(...times: (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

export function report(error: unknown): void {
  logFailure("a session failed", error);
}
