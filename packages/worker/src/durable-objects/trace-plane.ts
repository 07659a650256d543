/** Composes the trace plane of a session's object: the store of all its spans, their export, and the tracer of its own. */
import { DOUBLE_KEYS, type ValetSpans } from "@valet/shared/spans";
import { recordDropped, strictlyIncreasing, Tracer, wallClock } from "@valet/shared/tracing";
import type { Env } from "../bindings.ts";
import { SCOPE, warn, warnOfExport, workerTracing } from "../worker-tracing.ts";
import { SessionTracer, type TracedSession } from "./core/session-tracer.ts";
import { TraceUsers } from "./core/trace-users.ts";
import type { SpanRow } from "./traces/span-news.ts";
import type { SpanRef } from "./traces/trace-accounts.ts";
import { TraceExport } from "./traces/trace-export.ts";
import { TraceStore } from "./traces/trace-store.ts";

export interface TracePlaneOptions {
  readonly env: Env;
  readonly sql: SqlStorage;
  /** Takes the spans that a transaction stores. */
  readonly onStored: (read: () => readonly SpanRow[]) => void;
  /** Takes open spans whose ends a transaction counts as lost. */
  readonly onLost: (spans: readonly SpanRef[]) => void;
  readonly now: () => number;
  /** The session; its generation is 0 before it is created. */
  readonly session: () => TracedSession;
  /** Returns the user who answered the agent's request with this id. */
  readonly answeredBy: (requestId: string) => string | undefined;
  /** Returns how far the runner's clock is ahead of the object's, in ms; 0 if that is not known, or too little to matter. */
  readonly runnerAheadMs: () => number;
  /** Runs `work` in a transaction, or as part of the running one. */
  readonly transact: <T>(work: () => T) => T;
  /** Whether a transaction is running; its end stores the store's spans, or forgets them. */
  readonly isInTransaction: () => boolean;
}

/** The size of a session's stored spans, gzip'd; as JSON it is about twenty times that. The platform allows an object 10 GB. */
const MAX_TRACE_BYTES = 256 * 1024 * 1024;

export function composeTracePlane(options: TracePlaneOptions) {
  const { env, sql, onStored, onLost, now, session, answeredBy, runnerAheadMs, transact, isInTransaction } = options;
  const workersTracing = workerTracing(env);
  const { config: tracing, resource } = workersTracing;
  const { id: sessionId } = session();
  const users = new TraceUsers(sql);
  const traces = new TraceStore(sql, {
    sessionId,
    resource: { ...resource, "valet.session.id": sessionId },
    segmentDelayMs: tracing.scheduleDelayMs,
    limits: tracing.limits,
    maxBytes: MAX_TRACE_BYTES,
    ownTracesOnly: true,
    now,
    transact,
    isInTransaction,
    onStored,
    onLost,
    known: {
      originOf: (traceId) => {
        const { origin } = session();
        return { ...origin, userId: users.of(traceId) ?? origin.userId };
      },
      answeredBy,
      runnerAheadMs,
    },
  });
  const exporter = new TraceExport(sql, traces, {
    url: tracing.endpoint,
    headers: tracing.headers,
    compression: tracing.compression,
    timeoutMs: tracing.timeoutMs,
    now,
    onDiagnostic: warnOfExport(workersTracing),
    sessionId,
  });
  const tracer = new SessionTracer(
    new Tracer<ValetSpans>({
      scope: SCOPE,
      processor: traces,
      limits: tracing.limits,
      enabled: tracing.enabled,
      onDiagnostic: warn,
      captureContent: tracing.captureContent,
      sampler: recordDropped(tracing.sampler),
      clock: strictlyIncreasing(wallClock),
      doubleKeys: DOUBLE_KEYS,
    }),
    traces,
    session,
    users,
  );
  return { tracing, traces, exporter, tracer, users };
}
