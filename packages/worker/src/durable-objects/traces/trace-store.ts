/**
 * Stores every span of one session in the session's own SQLite: the object's spans, as its tracer's processor; the
 * runner's, from span frames; the Worker's and the broker's, from the requests that they pass on. The object's spans
 * are written in the caller's transaction, with the state that they describe.
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
  /** The resource of the object's own spans. */
  readonly resource: Resource;
  /** How long a span stays in the tail before its segment closes (`OTEL_BSP_SCHEDULE_DELAY`). */
  readonly segmentDelayMs: number;
  /** The maximum of stored compressed bytes; the oldest segments are deleted first. */
  readonly maxBytes: number;
  /**
   * Whether a runner's spans must be in traces of the session. False in the benchmark of the trace plane, which has no
   * session.
   */
  readonly ownTracesOnly?: boolean;
  /** The deployment's limits, which all senders obey; OpenTelemetry's defaults if omitted. */
  readonly limits?: NamingLimits | undefined;
  readonly now: () => number;
  /** Runs `work` in a transaction, or as part of the current one. */
  readonly transact: <T>(work: () => T) => T;
}

/** A trace in a list. */
export interface ListedTrace extends TraceSummary {
  readonly openSpans: number;
}

/** A span frame of a runner. */
export interface SpanFrame {
  readonly instanceId: string;
  readonly seq: number;
  readonly otlp: string;
  /** Spans that are open at that time, as written by `serialiseSpan`. */
  readonly open?: readonly string[] | undefined;
}

/** OTLP/JSON from a runner, the Worker or the broker. */
interface ReceivedRequest {
  readonly otlp: string;
  readonly runnerInstanceId?: string;
}

/** Far below the maximum of a row (2 MB), in UTF-16 units of up to three bytes. */
const MAX_TEXT_LENGTH = 512 * 1024;
/**
 * How many runner processes are remembered, the latest ones: each costs a row, and a holder of a runner's token can
 * name any number of them.
 */
const MAX_INSTANCES = 1000;
/** The maximum size of a page of spans as text, in UTF-16 units; the segment that exceeds it is the page's last. */
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

  /** Stores the current state of the object's open span; called again after a change that must survive an eviction. */
  onStart(span: ReadableSpan): void {
    if (!this.#open.keep(OBJECT, span)) this.countDropped("too_large", 1);
  }

  onEnd(span: ReadableSpan): void {
    this.#open.drop(span.context.spanId);
    this.#append(this.#resource, span);
  }

  /** Returns an open span, to be resumed. */
  openSpan(spanId: string): OpenSpan | undefined {
    return this.#open.get(spanId);
  }

  /**
   * Stores a span that a runner has begun: it is shown as open, and sealed if the runner is lost. Ignores spans of
   * other sessions and sealed spans. The span cannot have ended, since announcements arrive in order with the ends.
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
      // Valet's own runner never has more open spans.
      if (this.#open.count(instanceId) >= MAX_OPEN_SPANS && this.#open.get(context.spanId) === undefined) continue;
      this.#open.keep(instanceId, stampOpenSpan({ context, parent, ...span }, sessionId));
    }
  }

  /** Returns whether the session has spans of the trace, or its sandbox may begin it. */
  isOwnTrace(traceId: string): boolean {
    return this.#origin.isOwn(traceId);
  }

  /** Records a runner's sign of life. @param atMs its time, epoch ms; now if omitted. An older time changes nothing */
  touch(instanceId: string, atMs = this.#options.now()): void {
    this.#sql.exec(
      `INSERT INTO trace_instances (instance_id, last_seq, last_seen_ms) VALUES (?, 0, ?)
       ON CONFLICT (instance_id) DO UPDATE SET last_seen_ms = excluded.last_seen_ms
       WHERE excluded.last_seen_ms > last_seen_ms`,
      ...[instanceId, atMs],
    );
  }

  /** Returns the last stored sign of life of these runners, epoch ms; `undefined` when there is none. */
  lastSeenMs(instanceIds: readonly string[]): number | undefined {
    const known = instanceIds.flatMap((id) => this.#instance(id)?.last_seen_ms ?? []);
    return known.length === 0 ? undefined : Math.max(...known);
  }

  /**
   * Ends the spans that a lost runner left open, with the outcome `lost` and the time of its last sign of life. If the
   * runner ends one of them later, the end recorded here stands, and the later one is counted once, as `late`.
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
   * Stores span frames of runners, several together, since together they may fill a segment, which costs one row
   * instead of one row each. Ignores repeats. Spans that cannot be stored are counted and their frames acknowledged,
   * since a retry would change nothing.
   * @returns the number up to which each instance's frames are durable
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
        // Before the ends, which may be in a later frame of these.
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

  /** Stores ended spans that the Worker or the broker made for this session. */
  acceptSpans(otlp: string): void {
    this.#options.transact(() => this.#acceptRequests([{ otlp }]));
  }

  /** Deletes the least recently seen instances when there are too many. */
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
      // The number of spans in an unreadable text is unknown, so it counts as one frame.
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
      // The first end of a span counts.
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

  /** Counts lost spans; the next segment reports them to the backend. */
  countDropped(reason: DropReason, spans: number): void {
    if (spans === 0) return;
    this.#sql.exec(
      "INSERT INTO trace_drops (reason, spans) VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET spans = spans + excluded.spans",
      ...[reason, spans],
    );
  }

  /** Counts a segment that will not reach the backend, and the drops that its own reports would have told. */
  countLost(reason: DropReason, segment: Segment): void {
    this.countDropped(reason, segment.spans);
    for (const drop of reportedDrops(unpack(segment.body))) this.countDropped(drop.reason, drop.spans);
  }

  /** Writes the counts into a span of the tail, and resets them. */
  #reportDrops(): void {
    const drops = this.#sql.exec<{ reason: DropReason; spans: number }>("DELETE FROM trace_drops RETURNING *");
    const counts = drops.toArray().map(({ reason, spans }) => [`valet.dropped_spans.${reason}`, spans]);
    if (counts.length === 0) return;
    const { sessionId } = this.#options;
    const attributes = { ...sessionAttributes(sessionId), ...Object.fromEntries(counts) };
    const tracer = this.#tracerTo(this.#resource, "@valet/worker");
    tracer.startSpan("valet.trace_plane.dropped", { attributes }).end();
  }

  /** Returns a tracer whose spans go directly to the tail. */
  #tracerTo(resource: string, scope: string): Tracer<ValetSpans> {
    const onEnd = (span: ReadableSpan) => this.#append(resource, span);
    const clock = strictlyIncreasing(wallClock);
    const processor = { onStart: () => {}, onEnd };
    return new Tracer<ValetSpans>({ scope: { name: scope }, clock, processor, doubleKeys: DOUBLE_KEYS });
  }

  /** Returns when the tail is due to be folded, epoch ms; `undefined` when it is empty. */
  dueAtMs(): number | undefined {
    const oldest = this.segments.oldestMs();
    return oldest === undefined ? undefined : oldest + this.#options.segmentDelayMs;
  }

  /**
   * Folds the tail into segments, which hands its spans to export. Called when the tail is due, and at every boundary
   * after which the object may become idle.
   * @param isExported whether this segment has reached the backend; deleting one that has not is a drop
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
   * Lists the session's traces, newest first, and by id among those that began at the same time.
   * @param after the last trace of the previous page
   * @param limit the maximum number; all if omitted
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
   * Returns one trace as OTLP/JSON, streamed one segment at a time, since the largest traces exceed what an object can
   * hold or return at once. Open spans have no `endTimeUnixNano`; those of a runner have its last sign of life.
   * `undefined` for an unknown trace.
   * @param seenMs signs of life that are not stored yet, by the runner's instance id
   * @param after the last segment of the previous page; a full page ends with `nextCursor`, which names its own last
   * segment
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
   * Yields elements of `resourceSpans`. Reads the tail at once, since it may be folded while the rest is consumed.
   * @returns the cursor of the next page, if this one is full
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
   * Streams every ended span as lines of OTLP/JSON, one segment per line, as fast as the reader consumes them. Includes
   * spans that end meanwhile, and excludes those that are deleted meanwhile. A full page ends with a line without spans
   * and with `nextCursor`.
   * @param after the last segment of the previous page
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

/** Returns the cursor after a segment. */
function segmentCursor(segmentId: number): string {
  return encodeCursor([String(segmentId)]);
}

/** Open spans do not name their scope; this marks them as open. */
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

/** Sorts newest first. */
function compare(a: TracePosition, b: TracePosition): number {
  return b.startUs - a.startUs || (a.traceId < b.traceId ? -1 : Number(a.traceId > b.traceId));
}
