/**
 * Every span of one session, in the session's own SQLite: the object's by being its tracer's processor, the runner's by span
 * frames, the Worker's and the broker's by the requests that they hand over. What the object records is written in the
 * caller's transaction, with the state that it describes.
 */
import { MAX_OPEN_SPANS } from "@valet/shared/protocol/runner-link";
import { DOUBLE_KEYS, sessionAttributes, type ValetSpans } from "@valet/shared/spans";
import {
  attributesToObject,
  type DropReason,
  encodeResource,
  encodeScope,
  encodeSpan,
  isSampled,
  type OpenSpan,
  parseOpenSpan,
  type ReadableSpan,
  type Resource,
  type SpanProcessor,
  StatusCode,
  strictlyIncreasing,
  Tracer,
  wallClock,
} from "@valet/shared/tracing";
import { encodeCursor } from "../core/cursor.ts";
import { levelOf, readRequest, type SpanFacts, type SpanGroup, writeSpans } from "./otlp-request.ts";
import { isOwnSpan, type NamingLimits } from "./own-span.ts";
import { stampGroup, stampOpenSpan } from "./stamp.ts";
import { OBJECT, TraceOpenSpans } from "./trace-open-spans.ts";
import { TraceOrigin } from "./trace-origin.ts";
import { type Segment, type TailEntry, type TracePosition, TraceSegments, unpack } from "./trace-segments.ts";
import { mergeSummaries, summariseOpen, type TraceSummary } from "./trace-summary.ts";
import {
  fullPage,
  groupsOfTrace,
  REQUEST_END,
  REQUEST_HEAD,
  reportedDrops,
  requestText,
  streamOf,
} from "./trace-text.ts";

export interface TraceStoreOptions {
  readonly sessionId: string;
  /** Of the object's own spans. */
  readonly resource: Resource;
  /** How long a span stays in the tail before a segment closes (`OTEL_BSP_SCHEDULE_DELAY`). */
  readonly segmentDelayMs: number;
  /** Compressed bytes kept at the most; the oldest segments go first. */
  readonly maxBytes: number;
  /** Whether a runner's spans must be in traces of the session. Not where there is no session, as on the trace plane's own bench. */
  readonly ownTracesOnly?: boolean;
  /** The deployment's, which those who send spans keep to; OpenTelemetry's defaults unless given. */
  readonly limits?: NamingLimits | undefined;
  readonly now: () => number;
  /** Runs `work` in a transaction, or as part of the one that is under way. */
  readonly transact: <T>(work: () => T) => T;
}

/** One trace as a list shows it. */
export interface ListedTrace extends TraceSummary {
  readonly openSpans: number;
}

/** A span frame of a runner. */
export interface SpanFrame {
  readonly instanceId: string;
  readonly seq: number;
  readonly otlp: string;
  /** Spans that are open by then, as `serialiseSpan` writes them. */
  readonly open?: readonly string[] | undefined;
}

/** OTLP/JSON of others: of a runner, or of the Worker or the broker. */
interface ReceivedRequest {
  readonly otlp: string;
  readonly runnerInstanceId?: string;
}

/** Far below what a row can hold (2 MB), in UTF-16 units of up to three bytes. */
const MAX_TEXT_LENGTH = 512 * 1024;
/** Runner processes that are remembered, the latest: each costs a row, and whoever has a runner's token may name as many as they like. */
const MAX_INSTANCES = 1000;
/** Of one page of spans as text, in UTF-16 units: what goes past it is the page\'s last segment. */
const MAX_PAGE_LENGTH = 16 * 1024 * 1024;

export class TraceStore implements SpanProcessor {
  readonly segments: TraceSegments;
  readonly #sql: SqlStorage;
  readonly #options: TraceStoreOptions;
  readonly #open: TraceOpenSpans;
  readonly #origin: TraceOrigin;
  readonly #resource: string;

  constructor(sql: SqlStorage, options: TraceStoreOptions) {
    this.#sql = sql;
    this.#options = options;
    this.#resource = encodeResource(options.resource);
    this.segments = new TraceSegments(sql);
    this.#open = new TraceOpenSpans(sql);
    this.#origin = new TraceOrigin(sql, options.sessionId);
  }

  /** Keeps the object's open span as it is now; again after a change that must survive an eviction. */
  onStart(span: ReadableSpan): void {
    if (!this.#open.keep(OBJECT, span)) this.countDropped("too_large", 1);
  }

  onEnd(span: ReadableSpan): void {
    this.#open.drop(span.context.spanId);
    this.#append(this.#resource, span);
  }

  /** An open span, to be resumed. */
  openSpan(spanId: string): OpenSpan | undefined {
    return this.#open.get(spanId);
  }

  /**
   * Keeps a span that a runner has begun: it is shown as open, and sealed if the runner is lost. Ignores spans of other sessions
   * and spans that were sealed. The caller knows that the span has not ended: announcements come in order with the ends.
   */
  announce(instanceId: string, span: OpenSpan): void {
    this.#keepOpen(instanceId, [span]);
    this.touch(instanceId);
  }

  #keepOpen(instanceId: string, spans: readonly OpenSpan[]): void {
    const { sessionId, ownTracesOnly, limits } = this.#options;
    for (const { context, parent, ...span } of spans) {
      const { "valet.session.id": said, ...others } = attributesToObject(span.attributes);
      const attributes = Object.keys(others).length + (said === undefined ? 0 : 1);
      const isOwn = isOwnSpan(said === undefined ? [] : [said], attributes, sessionId, limits);
      const isForeign = ownTracesOnly && parent !== undefined && !this.isOwnTrace(context.traceId);
      if (!isOwn || isForeign || this.#open.isSealed(context.spanId)) continue;
      // A runner that has more of them is not one of ours.
      if (this.#open.count(instanceId) >= MAX_OPEN_SPANS && this.#open.get(context.spanId) === undefined) continue;
      this.#open.keep(instanceId, stampOpenSpan({ context, parent, ...span }, sessionId));
    }
  }

  /** Whether the session has spans of the trace, or its sandbox may begin it. */
  isOwnTrace(traceId: string): boolean {
    return this.#origin.isOwn(traceId);
  }

  /** The runner has given a sign of life. @param atMs when, epoch ms; now unless given. Earlier than known changes nothing */
  touch(instanceId: string, atMs = this.#options.now()): void {
    this.#sql.exec(
      `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms) VALUES (?, 0, ?)
       ON CONFLICT (instance_id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms
       WHERE excluded.last_seen_ms > last_seen_ms`,
      ...[instanceId, atMs],
    );
  }

  /** When the last of these runners gave its last sign of life that is stored, epoch ms; `undefined` where there is none. */
  lastSeenMs(instanceIds: readonly string[]): number | undefined {
    const known = instanceIds.flatMap((id) => this.#instance(id)?.last_seen_ms ?? []);
    return known.length === 0 ? undefined : Math.max(...known);
  }

  /**
   * Ends what a lost runner left open: outcome `lost`, at its last sign of life. If the runner ends one of them after all, the
   * end recorded here stands, and the later one is counted once, as `late`.
   * @returns how many
   */
  seal(instanceId: string, errorType: string): number {
    const lastSeenMs = this.#instance(instanceId)?.last_seen_ms ?? this.#options.now();
    const tracer = this.#tracerTo(this.#runnerResource(instanceId), "@valet/runner");
    const open = this.#open.of(instanceId);
    this.#options.transact(() => {
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
   * Takes span frames of runners, several as one: together they may fill a segment, which costs a row where they would cost one
   * each. Repeats are ignored, and so is every span that cannot be kept: it is counted, and its frame acknowledged, since
   * sending it again would change nothing.
   * @returns up to which number the frames of each instance are durable
   */
  acceptFrames(frames: readonly SpanFrame[]): Map<string, number> {
    const durable = new Map<string, number>();
    this.#options.transact(() => {
      const requests: ReceivedRequest[] = [];
      for (const { instanceId, seq, otlp, open = [] } of frames) {
        const lastSeq = durable.get(instanceId) ?? this.#instance(instanceId)?.last_seq ?? 0;
        durable.set(instanceId, Math.max(seq, lastSeq));
        if (seq <= lastSeq) continue;
        requests.push({ otlp, runnerInstanceId: instanceId });
        // Before the ends, which may be in a later one of these frames.
        const spans = open.flatMap((text) => parseOpenSpan(text) ?? []);
        this.#keepOpen(instanceId, spans);
      }
      this.#acceptRequests(requests);
      for (const [instanceId, seq] of requests.length === 0 ? [] : durable) {
        this.#sql.exec(
          `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms) VALUES (?, ?, ?)
           ON CONFLICT (instance_id) DO UPDATE SET last_seq = excluded.last_seq, last_seen_ms = excluded.last_seen_ms`,
          ...[instanceId, seq, this.#options.now()],
        );
      }
      if (requests.length > 0) this.#forgetInstances();
    });
    return durable;
  }

  /** Takes ended spans that the Worker or the broker made for this session. */
  acceptSpans(otlp: string): void {
    this.#options.transact(() => this.#acceptRequests([{ otlp }]));
  }

  /** Deletes what is known of the instances that were heard of longest ago, where there are too many. */
  #forgetInstances(): void {
    this.#sql.exec(
      `DELETE FROM trace_instances WHERE instance_id IN (
         SELECT instance_id FROM trace_instances ORDER BY last_seen_ms DESC, instance_id LIMIT -1 OFFSET ?)`,
      MAX_INSTANCES,
    );
  }

  #acceptRequests(requests: readonly ReceivedRequest[]): void {
    const { sessionId, resource, ownTracesOnly, limits } = this.#options;
    const groups: SpanGroup[] = [];
    let invalid = 0;
    let tooLarge = 0;
    for (const { otlp: text, runnerInstanceId } of requests) {
      const request = text.length > MAX_TEXT_LENGTH ? undefined : readRequest(text, sessionId, limits);
      // How many spans are in a text that cannot be read, nobody knows; it was one frame.
      if (text.length > MAX_TEXT_LENGTH) tooLarge++;
      else invalid += request?.refused ?? 1;
      const received = request?.groups ?? [];
      const mayBeForeign = ownTracesOnly && runnerInstanceId !== undefined;
      const own = mayBeForeign ? this.#origin.keepOwn(received) : { groups: received, refused: 0 };
      invalid += own.refused;
      const stamp = { sessionId, resource, runnerInstanceId };
      groups.push(...own.groups.map((group) => stampGroup(group, stamp)));
    }
    const ended = this.#open.endReceived(groups.flatMap(({ spans }) => spans.map(({ spanId }) => spanId)));
    const entries: TailEntry[] = [];
    for (const { resource, scope, spans } of groups) {
      invalid += spans.filter(({ spanId }) => ended.ownOpen.has(spanId)).length;
      // Of two ends of a span the first counts.
      const kept = spans.filter(({ spanId }) => !ended.ownOpen.has(spanId) && !ended.sealed.has(spanId));
      for (const sampled of [true, false]) {
        const part = kept.filter((span) => span.sampled === sampled);
        if (part.length > 0) entries.push({ resource, scope, sampled, spans: part, body: writeSpans(part) });
      }
    }
    this.countDropped("invalid", invalid);
    this.countDropped("late", ended.late);
    this.countDropped("too_large", tooLarge);
    if (entries.length > 0) this.segments.append(entries, this.#options.now());
  }

  #append(resource: string, span: ReadableSpan): void {
    const body = encodeSpan(span);
    if (body.length > MAX_TEXT_LENGTH) return this.countDropped("too_large", 1);
    const entry = {
      resource,
      scope: encodeScope(span.scope),
      sampled: isSampled(span.context),
      spans: [factsOf(span)],
      body,
    };
    this.segments.append([entry], this.#options.now());
  }

  #instance(instanceId: string): { last_seq: number; last_seen_ms: number } | undefined {
    const query = "SELECT last_seq, last_seen_ms FROM trace_instances WHERE instance_id = ?";
    return this.#sql.exec<{ last_seq: number; last_seen_ms: number }>(query, instanceId).toArray()[0];
  }

  #lastSeenMs(instanceId: string, seenMs = 0): number | undefined {
    return Math.max(seenMs, this.#instance(instanceId)?.last_seen_ms ?? 0) || undefined;
  }

  #runnerResource(instanceId: string): string {
    const runner = { "service.name": "valet-runner", "service.instance.id": instanceId };
    return encodeResource({ ...this.#options.resource, ...runner });
  }

  /** Counts spans that are lost: the next segment says so to the backend. */
  countDropped(reason: DropReason, spans: number): void {
    if (spans === 0) return;
    this.#sql.exec(
      "INSERT INTO trace_drops (reason, spans) VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET spans = spans + excluded.spans",
      ...[reason, spans],
    );
  }

  /** Counts a segment that the backend will not get, and what the reports in it would have told. */
  countLost(reason: DropReason, segment: Segment): void {
    this.countDropped(reason, segment.spans);
    for (const drop of reportedDrops(unpack(segment.body))) this.countDropped(drop.reason, drop.spans);
  }

  /** Puts what was counted into a span of the tail, and begins to count anew. */
  #reportDrops(): void {
    const drops = this.#sql.exec<{ reason: DropReason; spans: number }>("DELETE FROM trace_drops RETURNING *");
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
    const clock = strictlyIncreasing(wallClock);
    const processor = { onStart: () => {}, onEnd };
    return new Tracer<ValetSpans>({ scope: { name: scope }, clock, processor, doubleKeys: DOUBLE_KEYS });
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
    this.#options.transact(() => {
      this.#reportDrops();
      this.segments.fold(this.#options.now());
      while (this.segments.bytes() > this.#options.maxBytes) {
        const oldest = this.segments.deleteOldest();
        if (oldest === undefined) return;
        if (oldest.sampled && !isExported(oldest.id)) this.countLost("queue_full", oldest);
      }
    });
  }

  /**
   * The session's traces, the newest first, and where several began at once by their id.
   * @param after the last one of the page before
   * @param limit as many at the most; all unless given
   */
  traces(after?: TracePosition, limit = Number.MAX_SAFE_INTEGER): ListedTrace[] {
    const open = Map.groupBy(this.#open.all(), ({ context }) => context.traceId);
    const begun = [...open.values()].flat().map(summaryOfOpen);
    const tail = this.segments.tailSummaries();
    const inTail = new Set(tail.map(({ traceId }) => traceId));
    const live = [...open].flatMap(([traceId]) => (inTail.has(traceId) ? [] : this.segments.folded(traceId)));
    const recent = mergeSummaries([tail, live, begun]);
    const older = this.segments.newestFolded(
      limit,
      after,
      recent.map(({ traceId }) => traceId),
    );
    return [...recent.filter((each) => after === undefined || compare(after, each) < 0), ...older]
      .sort(compare)
      .slice(0, limit)
      .map((summary) => ({ ...summary, openSpans: open.get(summary.traceId)?.length ?? 0 }));
  }

  /**
   * One trace as OTLP/JSON, a segment at a time: the largest ones exceed what an object can hold or hand over at once. Spans
   * that are still open have no `endTimeUnixNano`; those of a runner say when it was last heard of. `undefined` when there is
   * nothing of the trace.
   * @param seenMs when a runner gave a sign of life that is not stored, by its instance id
   * @param after the last segment of the page before: a page that is full ends with `nextCursor`, which names its last
   */
  trace(
    traceId: string,
    seenMs: (instanceId: string) => number | undefined = () => undefined,
    after = 0,
  ): ReadableStream<Uint8Array> | undefined {
    const open = this.#open.ofTrace(traceId).map(({ owner, span }) => {
      const lastSeenMs = owner === OBJECT ? undefined : this.#lastSeenMs(owner, seenMs(owner));
      const seen = lastSeenMs === undefined ? [] : ["valet.last_seen_ms", lastSeenMs];
      const attributes = [...span.attributes, ...seen];
      const text = encodeSpan({ ...span, attributes, scope: OPEN_SCOPE, endTime: undefined, doubleKeys: DOUBLE_KEYS });
      const resource = owner === OBJECT ? this.#resource : this.#runnerResource(owner);
      return `{"resource":${resource},"scopeSpans":[{"scope":${encodeScope(OPEN_SCOPE)},"spans":[${text}]}]}`;
    });
    const groups = this.#groupsOf(traceId, open, after);
    const first = groups.next();
    if (first.done) return after === 0 ? undefined : streamOf(requestText("", groups));
    return streamOf(requestText(first.value, groups));
  }

  /**
   * Elements of `resourceSpans`. What is in the tail now is read now: it may be folded while the rest is taken.
   * @returns the cursor of the next page, where this one is full
   */
  *#groupsOf(traceId: string, open: readonly string[], after: number): Generator<string, string | undefined> {
    const tail = this.segments.tailText();
    let [length, last] = [0, after];
    const isFull = () => length >= MAX_PAGE_LENGTH;
    for (const { id, isWhole } of this.segments.holding(traceId)) {
      if (id <= after) continue;
      if (isFull()) return segmentCursor(last);
      const text = this.segments.text(id) ?? `${REQUEST_HEAD}${REQUEST_END}`;
      if (isWhole) yield text.slice(REQUEST_HEAD.length, -REQUEST_END.length);
      else yield* groupsOfTrace(text, traceId);
      length += text.length;
      last = id;
    }
    if (isFull()) return segmentCursor(last);
    if (tail !== undefined) yield* groupsOfTrace(tail, traceId);
    yield* open;
    return undefined;
  }

  /**
   * Every ended span, as lines of OTLP/JSON, a segment a line, read as fast as they are taken. What ends in the meantime comes
   * too; what is deleted in the meantime does not. A page that is full ends with a line that holds no span and `nextCursor`.
   * @param after the last segment of the page before
   */
  spans(after = 0): ReadableStream<Uint8Array> {
    return streamOf(this.#lines(after));
  }

  *#lines(after: number): Generator<string, undefined> {
    let [cursor, length] = [after, 0];
    for (let next = this.segments.textAfter(cursor); next !== undefined; next = this.segments.textAfter(cursor)) {
      if (length >= MAX_PAGE_LENGTH) {
        yield `${fullPage(segmentCursor(cursor))}\n`;
        return;
      }
      cursor = next.id;
      length += next.text.length;
      yield `${next.text}\n`;
    }
    const tail = this.segments.tailText();
    if (tail !== undefined) yield `${tail}\n`;
  }
}

/** Where a page of spans ended. */
function segmentCursor(segmentId: number): string {
  return encodeCursor([String(segmentId)]);
}

/** Open spans do not say who holds them; this says what they are. */
const OPEN_SCOPE = { name: "valet.open" };

function factsOf(span: ReadableSpan): SpanFacts {
  const { context, parent, name, startTime, endTime = startTime, statusCode } = span;
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    name,
    startUs: toMicros(startTime),
    endUs: toMicros(endTime),
    isError: statusCode === StatusCode.ERROR,
    level: levelOf(parent),
  };
}

function toMicros({ seconds, nanos }: { seconds: number; nanos: number }): number {
  return seconds * 1e6 + Math.floor(nanos / 1000);
}

function summaryOfOpen({ context: { traceId, spanId }, parent, name, startTime }: OpenSpan): TraceSummary {
  return summariseOpen({ traceId, spanId, name, startUs: toMicros(startTime), level: levelOf(parent) });
}

/** The newest first. */
function compare(a: TracePosition, b: TracePosition): number {
  return b.startUs - a.startUs || (a.traceId < b.traceId ? -1 : Number(a.traceId > b.traceId));
}
