/**
 * Every span of one session, in the session's own SQLite: the object's by being its tracer's sink, the runner's by span
 * frames, the Worker's and the broker's by the requests that they hand over. What the object records is written in the
 * caller's transaction, with the state that it describes.
 */
import type { ValetSpans } from "@valet/shared/spans";
import {
  type DropReason,
  encodeResource,
  encodeScope,
  encodeSpan,
  isSampled,
  type OpenSpan,
  type ReadableSpan,
  type Resource,
  type SpanSink,
  StatusCode,
  Tracer,
  wallClock,
} from "@valet/shared/tracing";
import { readRequest, type StoredSpan } from "./otlp-request.ts";
import { OBJECT, TraceOpenSpans } from "./trace-open-spans.ts";
import { TraceSegments } from "./trace-segments.ts";
import type { TraceSummary } from "./trace-summary.ts";

export interface TraceStoreOptions {
  readonly sessionId: string;
  /** Of the object's own spans. */
  readonly resource: Resource;
  /** How long a span stays in the tail before a segment closes (`OTEL_BSP_SCHEDULE_DELAY`). */
  readonly segmentDelayMs: number;
  /** Compressed bytes kept at the most; the oldest segments go first. */
  readonly maxBytes: number;
  readonly now: () => number;
}

/** One trace as a list shows it. */
export interface ListedTrace extends TraceSummary {
  readonly openSpans: number;
}

export class TraceStore implements SpanSink {
  readonly segments: TraceSegments;
  readonly #storage: DurableObjectStorage;
  readonly #options: TraceStoreOptions;
  readonly #open: TraceOpenSpans;
  readonly #resource: string;

  constructor(storage: DurableObjectStorage, options: TraceStoreOptions) {
    this.#storage = storage;
    this.#options = options;
    this.#resource = encodeResource(options.resource);
    this.segments = new TraceSegments(storage.sql);
    this.#open = new TraceOpenSpans(storage.sql);
    storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS trace_instances (
        instance_id TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS trace_drops (reason TEXT PRIMARY KEY, spans INTEGER NOT NULL) WITHOUT ROWID;
    `);
  }

  /** Keeps the object's open span as it is now; again after a change that must survive an eviction. */
  onStart(span: ReadableSpan): void {
    this.#open.keep(OBJECT, span);
  }

  onEnd(span: ReadableSpan): void {
    this.#open.drop(span.context.spanId);
    this.#append(this.#resource, span);
  }

  /** An open span, to be resumed. */
  openSpan(spanId: string): OpenSpan | undefined {
    return this.#open.get(spanId);
  }

  /** A runner has begun a span: it is shown as open, and sealed if the runner is lost. */
  announce(instanceId: string, span: OpenSpan): void {
    if (this.#open.isSealed(span.context.spanId)) return;
    this.#open.keep(instanceId, span);
    this.touch(instanceId);
  }

  /** The runner has given a sign of life. */
  touch(instanceId: string): void {
    this.#storage.sql.exec(
      `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms) VALUES (?, 0, ?)
       ON CONFLICT (instance_id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms`,
      ...[instanceId, this.#options.now()],
    );
  }

  /**
   * Ends what a lost runner left open: outcome `lost`, at its last sign of life. If the runner ends one of them after all, the
   * end recorded here stands, and the later one is counted.
   * @returns how many
   */
  seal(instanceId: string, errorType: string): number {
    const lastSeenMs = this.#instance(instanceId)?.last_seen_ms ?? this.#options.now();
    const resource = encodeResource({
      ...this.#options.resource,
      "service.name": "valet-runner",
      "service.instance.id": instanceId,
    });
    const tracer = this.#tracerTo(resource, "@valet/runner");
    const open = this.#open.of(instanceId);
    this.#storage.transactionSync(() => {
      for (const each of open) {
        this.#open.drop(each.context.spanId);
        this.#open.markSealed(each.context.spanId);
        const span = tracer.resumeSpan(each);
        span.setAttributes({ "valet.outcome": "lost", "error.type": errorType, "valet.last_seen_ms": lastSeenMs });
        span.setStatus(StatusCode.ERROR, errorType);
        span.end(lastSeenMs);
      }
    });
    return open.length;
  }

  /**
   * Takes a span frame of a runner. Repeats are ignored, and so is every span that cannot be kept: it is counted, and the frame
   * acknowledged, since sending it again would change nothing.
   * @returns up to which number the instance's frames are durable
   */
  acceptFrame(instanceId: string, seq: number, otlp: string): number {
    const lastSeq = this.#instance(instanceId)?.last_seq ?? 0;
    if (seq <= lastSeq) return lastSeq;
    this.#storage.transactionSync(() => {
      this.#acceptRequest(otlp);
      this.#storage.sql.exec(
        `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms) VALUES (?, ?, ?)
         ON CONFLICT (instance_id) DO UPDATE SET last_seq = excluded.last_seq, last_seen_ms = excluded.last_seen_ms`,
        ...[instanceId, seq, this.#options.now()],
      );
    });
    return seq;
  }

  /** Takes ended spans that the Worker or the broker made for this session. */
  acceptSpans(otlp: string): void {
    this.#storage.transactionSync(() => this.#acceptRequest(otlp));
  }

  #acceptRequest(otlp: string): void {
    const request = readRequest(otlp, this.#options.sessionId);
    // How many spans were in a text that cannot be read, nobody knows; it was one frame.
    this.countDropped("rejected", request?.refused ?? 1);
    for (const { resource, scope, spans } of request?.groups ?? []) {
      const kept = spans.filter(({ spanId }) => !this.#endsTwice(spanId));
      for (const sampled of [true, false]) {
        const part = kept.filter((span) => span.sampled === sampled);
        if (part.length > 0) this.segments.append({ resource, scope, sampled, spans: part }, this.#options.now());
      }
    }
  }

  /** Notes that a span has ended. Of two ends the first counts. */
  #endsTwice(spanId: string): boolean {
    if (this.#open.isSealed(spanId)) {
      this.countDropped("rejected", 1);
      return true;
    }
    this.#open.drop(spanId);
    return false;
  }

  #append(resource: string, span: ReadableSpan): void {
    const entry = {
      resource,
      scope: encodeScope(span.scope),
      sampled: isSampled(span.context),
      spans: [toStored(span)],
    };
    this.segments.append(entry, this.#options.now());
  }

  #instance(instanceId: string): { last_seq: number; last_seen_ms: number } | undefined {
    const query = "SELECT last_seq, last_seen_ms FROM trace_instances WHERE instance_id = ?";
    return this.#storage.sql.exec<{ last_seq: number; last_seen_ms: number }>(query, instanceId).toArray()[0];
  }

  /** Counts spans that are lost: the next segment says so to the backend. */
  countDropped(reason: DropReason, spans: number): void {
    if (spans === 0) return;
    this.#storage.sql.exec(
      "INSERT INTO trace_drops (reason, spans) VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET spans = spans + excluded.spans",
      ...[reason, spans],
    );
  }

  /** Puts what was counted into a span of the tail, and begins to count anew. */
  #reportDrops(): void {
    const drops = this.#storage.sql.exec<{ reason: DropReason; spans: number }>("DELETE FROM trace_drops RETURNING *");
    const counts = drops.toArray().map(({ reason, spans }) => [`valet.dropped_spans.${reason}`, spans]);
    if (counts.length === 0) return;
    const { sessionId } = this.#options;
    const attributes = { ...sessionAttributes(sessionId), ...Object.fromEntries(counts) };
    const tracer = this.#tracerTo(this.#resource, "@valet/worker");
    tracer.startSpan("valet.trace_plane.dropped", { attributes }).end();
  }

  /** A tracer whose spans go straight to the tail. */
  #tracerTo(resource: string, scope: string): Tracer<ValetSpans> {
    const onEnd = (span: ReadableSpan) => this.#append(resource, span);
    return new Tracer<ValetSpans>({ scope: { name: scope }, clock: wallClock, sink: { onStart: () => {}, onEnd } });
  }

  /** When the tail is due to be folded, epoch ms; `undefined` when it is empty. */
  dueAtMs(): number | undefined {
    const oldest = this.segments.oldestMs();
    return oldest === undefined ? undefined : oldest + this.#options.segmentDelayMs;
  }

  /**
   * Closes the tail: when it is due, and at every boundary after which the object may go idle. From then on its spans are
   * handed to export.
   * @param isExported whether the segment of this id has left for the backend: what goes before that is a drop
   */
  fold(isExported: (segmentId: number) => boolean = () => true): void {
    this.#storage.transactionSync(() => {
      this.#reportDrops();
      this.segments.fold(this.#options.now());
      while (this.segments.bytes() > this.#options.maxBytes) {
        const oldest = this.segments.deleteOldest();
        if (oldest === undefined) return;
        if (oldest.sampled && !isExported(oldest.id)) this.countDropped("queue_full", oldest.spans);
      }
    });
  }

  /** The session's traces, the newest first. */
  traces(): ListedTrace[] {
    const open = Map.groupBy(this.#open.all(), ({ context }) => context.traceId);
    const ended = this.segments.summaries();
    const seen = new Set(ended.map(({ traceId }) => traceId));
    const begun = [...open].filter(([traceId]) => !seen.has(traceId)).map(([, spans]) => summaryOfOpen(spans));
    return [...ended, ...begun]
      .map((summary) => ({ ...summary, openSpans: open.get(summary.traceId)?.length ?? 0 }))
      .sort((a, b) => b.startUs - a.startUs);
  }

  /** One trace as OTLP/JSON; spans that are still open have no `endTimeUnixNano`. `undefined` when there is none of it. */
  trace(traceId: string): string | undefined {
    const groups = this.segments.requestsOf(traceId).flatMap((text) => groupsOfTrace(text, traceId));
    const open = this.#open.ofTrace(traceId).map((span) => {
      const text = encodeSpan({ ...span, scope: OPEN_SCOPE, endTime: undefined });
      return `{"resource":${this.#resource},"scopeSpans":[{"scope":${encodeScope(OPEN_SCOPE)},"spans":[${text}]}]}`;
    });
    const all = [...groups, ...open];
    return all.length === 0 ? undefined : `{"resourceSpans":[${all.join(",")}]}`;
  }

  /** Every ended span, as lines of OTLP/JSON, a segment a line, read as fast as they are taken. */
  spans(): ReadableStream<Uint8Array> {
    this.segments.fold(this.#options.now());
    let cursor = 0;
    const encoder = new TextEncoder();
    return new ReadableStream({
      pull: (controller) => {
        const next = this.segments.textAfter(cursor);
        if (next === undefined) {
          controller.close();
          return;
        }
        cursor = next.id;
        controller.enqueue(encoder.encode(`${next.text}\n`));
      },
    });
  }
}

/** Open spans do not say who holds them; this says what they are. */
const OPEN_SCOPE = { name: "valet.open" };

function sessionAttributes(id: string) {
  return { "valet.session.id": id, "session.id": id, "gen_ai.conversation.id": id };
}

function toStored(span: ReadableSpan): StoredSpan {
  const { context, parent, name, startTime, endTime = startTime, statusCode } = span;
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    name,
    startUs: toMicros(startTime),
    endUs: toMicros(endTime),
    isError: statusCode === StatusCode.ERROR,
    isEntry: parent === undefined || parent.isRemote,
    text: encodeSpan(span),
  };
}

function toMicros({ seconds, nanos }: { seconds: number; nanos: number }): number {
  return seconds * 1e6 + Math.floor(nanos / 1000);
}

function summaryOfOpen(spans: readonly OpenSpan[]): TraceSummary {
  const starts = spans.map(({ startTime }) => toMicros(startTime));
  const startUs = Math.min(...starts);
  const first = spans[starts.indexOf(startUs)] as OpenSpan;
  return {
    traceId: first.context.traceId,
    name: first.name,
    nameUs: startUs,
    startUs,
    endUs: startUs,
    spans: 0,
    errors: 0,
  };
}

interface WireRequest {
  resourceSpans: { resource: unknown; scopeSpans: { scope: unknown; spans: { traceId: string }[] }[] }[];
}

/** What of a request belongs to the trace, as elements of `resourceSpans`. */
function groupsOfTrace(text: string, traceId: string): string[] {
  const { resourceSpans } = JSON.parse(text) as WireRequest;
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const kept = scopeSpans
      .map(({ scope, spans }) => ({ scope, spans: spans.filter((span) => span.traceId === traceId) }))
      .filter(({ spans }) => spans.length > 0);
    return kept.length === 0 ? [] : [JSON.stringify({ resource, scopeSpans: kept })];
  });
}
