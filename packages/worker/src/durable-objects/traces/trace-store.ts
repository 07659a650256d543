/**
 * Stores every span of one session in the session's own SQLite: the object's spans, as its tracer's processor; the
 * runner's, from span frames; the Worker's and the broker's, from the requests that they pass on. The object's spans
 * are written in the caller's transaction, with the state that they describe.
 */
import type { BacklinkList } from "@valet/shared/protocol/session-api";
import { MAX_OPEN_SPANS, type SpanFrame, spansNamed } from "@valet/shared/protocol/span-frame";
import { DOUBLE_KEYS, type ErrorType, originAttributes, sessionAttributes, type ValetSpans } from "@valet/shared/spans";
import {
  attributesToObject,
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
import { NamedLosses } from "./named-losses.ts";
import { readStored } from "./otlp-request.ts";
import { isOwnSpan, type NamingLimits } from "./own-span.ts";
import { PendingSpans } from "./pending-spans.ts";
import { MAX_TEXT_LENGTH, type ReceivedRequest, ReceivedRequests } from "./received-requests.ts";
import { RunnerInstances } from "./runner-instances.ts";
import { factsOf, openFactsOf } from "./span-facts.ts";
import type { SpanRow } from "./span-news.ts";
import { type KnownOfSpans, runnerResource, stampOpenSpan } from "./stamp.ts";
import { type SpanRef, TraceAccounts } from "./trace-accounts.ts";
import { TraceCertificates } from "./trace-certificates.ts";
import { TraceDrops } from "./trace-drops.ts";
import { OBJECT, TraceOpenSpans } from "./trace-open-spans.ts";
import { TraceOrigin } from "./trace-origin.ts";
import { TraceReader } from "./trace-reader.ts";
import { TraceSegments, unpack } from "./trace-segments.ts";
import { bodiesOf } from "./trace-text.ts";

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
  /**
   * Whether a transaction is running whose end calls {@link TraceStore.store} or {@link TraceStore.reload}. Without it every call
   * writes at once.
   */
  readonly isInTransaction?: () => boolean;
  /** Called within the transaction with the spans that it stores, open or ended. */
  readonly onStored?: (read: () => readonly SpanRow[]) => void;
  /** Called within the transaction with open spans whose ends it counts as lost. */
  readonly onLost?: (spans: readonly SpanRef[]) => void;
  /** What the object stamps on spans of others besides the session; nothing in the benchmark of the trace plane. */
  readonly known?: KnownOfSpans;
}

export class TraceStore implements SpanProcessor {
  readonly segments: TraceSegments;
  /** Reads what is stored. */
  readonly reader: TraceReader;
  /** Says what became of spans. */
  readonly certificates: TraceCertificates;
  /** Counts lost spans. */
  readonly drops: TraceDrops;
  readonly #options: TraceStoreOptions;
  readonly #open: TraceOpenSpans;
  readonly #pending = new PendingSpans();
  readonly #origin: TraceOrigin;
  readonly #instances: RunnerInstances;
  readonly #resource: string;
  readonly #accounts: TraceAccounts;
  readonly #losses: NamedLosses;
  readonly #received: ReceivedRequests;

  constructor(sql: SqlStorage, options: TraceStoreOptions) {
    this.#options = options;
    this.#resource = encodeResource(options.resource);
    this.segments = new TraceSegments(sql);
    this.#open = new TraceOpenSpans(sql);
    this.#origin = new TraceOrigin(sql, options.sessionId, (traceId) => this.#pending.hasTrace(traceId));
    this.#instances = new RunnerInstances(sql, options.now);
    this.reader = new TraceReader(this.segments, this.#open, this.#instances, options);
    this.#accounts = new TraceAccounts(sql);
    this.drops = new TraceDrops(sql, this.#accounts, options.now);
    this.#losses = new NamedLosses({
      open: this.#open,
      accounts: this.#accounts,
      drops: this.drops,
      onLost: options.onLost,
      mayName: ({ traceId }) => options.ownTracesOnly !== true || this.isOwnTrace(traceId),
    });
    this.#received = new ReceivedRequests({
      ...options,
      open: this.#open,
      origin: this.#origin,
      accounts: this.#accounts,
      drops: this.drops,
      losses: this.#losses,
    });
    const { segments, reader } = this;
    this.certificates = new TraceCertificates({
      segments,
      skeletons: reader.skeletons,
      open: this.#open,
      accounts: this.#accounts,
      instances: this.#instances,
      now: options.now,
    });
  }

  /** Stores the current state of the object's open span; called again after a change that must survive an eviction. */
  onStart(span: ReadableSpan): void {
    this.#pending.keep(span);
    this.#settle();
  }

  onEnd(span: ReadableSpan): void {
    this.#pending.drop(span.context.spanId);
    this.#append(this.#resource, span);
  }

  /** Returns an open span, to be resumed. */
  openSpan(spanId: string): OpenSpan | undefined {
    if (this.#pending.knows(spanId)) return this.#pending.openSpan(spanId);
    const span = this.#open.get(spanId);
    if (span !== undefined) this.#pending.remember(span);
    return span;
  }

  /** Returns all open spans, of the object and its runners, as last stored. */
  openSpans(): readonly OpenSpan[] {
    return this.#open.all();
  }

  /** Writes what the transaction has recorded. Runs before its commit. */
  store(): void {
    this.#storeOpen();
    const ended = this.#pending.takeEnded();
    if (ended.length === 0) return;
    this.segments.append(ended, this.#options.now(), this.#options.known?.runnerAheadMs());
    this.#options.onStored?.(() => ended.flatMap(({ spans }) => spans));
  }

  /** Forgets what a transaction had recorded that was rolled back, and what is known of the database. */
  reload(): void {
    this.#pending.clear();
    this.#origin.forget();
    this.segments.reload();
  }

  get #isInTransaction(): boolean {
    return this.#options.isInTransaction?.() ?? false;
  }

  #settle(): void {
    if (!this.#isInTransaction) this.store();
  }

  #storeOpen(): void {
    const { kept, dropped } = this.#pending.takeOwn();
    this.#open.drop(dropped);
    for (const span of kept) {
      if (this.#open.keep(OBJECT, span)) {
        this.#pending.remember(span);
        this.#options.onStored?.(() => [openRowOf(span)]);
      } else {
        this.drops.arriving("too_large", [span.context]);
      }
    }
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
    let known: number | undefined;
    for (const span of spans) {
      const { context, parent } = span;
      const { "valet.session.id": sessionValue, ...others } = attributesToObject(span.attributes);
      const attributes = Object.keys(others).length + (sessionValue === undefined ? 0 : 1);
      const isOwn = isOwnSpan(sessionValue === undefined ? [] : [sessionValue], attributes, sessionId, limits);
      const isForeign = ownTracesOnly && parent !== undefined && !this.isOwnTrace(context.traceId);
      if (!isOwn || isForeign || this.#open.isSealed(context.spanId)) continue;
      const isNew = this.#open.get(context.spanId) === undefined;
      if (isNew) known ??= this.#open.count(instanceId);
      // Valet's own runner never has more open spans.
      if (isNew && known !== undefined && known >= MAX_OPEN_SPANS) {
        this.drops.arriving("queue_full", [context]);
        continue;
      }
      const stamped = stampOpenSpan(span, this.#options);
      const isKept = this.#open.keep(instanceId, stamped);
      if (isNew && isKept) known = (known ?? 0) + 1;
      if (isKept) this.#options.onStored?.(() => [openRowOf(stamped)]);
    }
  }

  /** Returns whether the session has spans of the trace, or its sandbox may begin it. */
  isOwnTrace(traceId: string): boolean {
    return this.#origin.isOwn(traceId);
  }

  /** Returns a page of the links to a trace. @param after the last segment of the previous page */
  readBacklinks(traceId: string, after?: number): BacklinkList {
    return this.#options.transact(() => this.reader.backlinks.read(traceId, after));
  }

  /** Records a runner's sign of life. @param atMs its time, epoch ms; now if omitted. An older time changes nothing */
  touch(instanceId: string, atMs?: number): void {
    this.#instances.touch(instanceId, atMs);
  }

  /** Returns the last stored sign of life of these runners, epoch ms; `undefined` when there is none. */
  lastSeenMs(instanceIds: readonly string[]): number | undefined {
    const known = instanceIds.flatMap((id) => this.#instances.lastSeenMs(id) ?? []);
    return known.length === 0 ? undefined : Math.max(...known);
  }

  /**
   * Ends the spans that a lost runner left open, with the outcome `lost` and the time of its last sign of life. If the
   * runner ends one of them later, the end recorded here stands, and the later one is counted once, as `late`.
   * @param cause what ended the runner, if that is known
   * @returns how many
   */
  seal(instanceId: string, errorType: string, cause?: ErrorType): number {
    const lastSeenMs = this.#instances.lastSeenMs(instanceId) ?? this.#options.now();
    const tracer = this.#tracerTo(runnerResource(this.#options, instanceId), "@valet/runner");
    const open = this.#open.of(instanceId);
    const lastFrameMs = this.#instances.lastFrameMs(instanceId) ?? null;
    this.#options.transact(() => {
      this.#accounts.addSealed(
        { cause: errorType, lastFrameMs },
        open.map(({ context }) => context),
      );
      for (const each of open) {
        this.#open.drop([each.context.spanId]);
        this.#open.markSealed(each.context.spanId);
        const span = tracer.resumeSpan(each);
        span.setAttributes({
          "valet.outcome": "lost",
          "error.type": errorType,
          "valet.error.cause": cause,
          "valet.last_seen_ms": lastSeenMs,
        });
        span.setStatus(StatusCode.ERROR);
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
      for (const { instanceId, seq, otlp, open = [], ids, lost = [] } of frames) {
        const lastSeq = durable.get(instanceId) ?? this.#instances.lastSeq(instanceId);
        durable.set(instanceId, Math.max(seq, lastSeq));
        if (seq <= lastSeq) continue;
        requests.push({ otlp, runnerInstanceId: instanceId, named: ids && spansNamed(ids) });
        for (const each of lost) this.#losses.reported(each.reason, spansNamed(each.ids));
        // Before the ends, which may be in a later frame of these.
        const spans = open.flatMap((text) => parseOpenSpan(text) ?? []);
        this.#keepOpen(instanceId, spans);
      }
      this.#acceptRequests(requests);
      if (requests.length > 0) this.#instances.record(durable);
    });
    return durable;
  }

  /** Stores ended spans that the broker made for this session. */
  acceptSpans(otlp: string): void {
    this.#options.transact(() => this.#acceptRequests([{ otlp }]));
  }

  /**
   * Stores the spans of requests that the Worker ended. If the object has just ended one of them, but its answer was lost, the end
   * recorded here stands.
   */
  acceptRequestSpans(otlp: string): void {
    this.#options.transact(() => this.#acceptRequests([{ otlp }], (spanId) => this.segments.tailHas(spanId)));
  }

  /** @param hasEnded whether the end of a span is known; none is by default */
  #acceptRequests(requests: readonly ReceivedRequest[], hasEnded: (spanId: string) => boolean = () => false): void {
    const groups = this.#received.read(requests);
    // The ends of the object's own spans, which nobody else may end, are read from the database.
    this.#storeOpen();
    this.#pending.append(this.#received.end(groups, hasEnded));
    this.#settle();
  }

  #append(resource: string, span: ReadableSpan): void {
    const body = encodeSpan(span);
    if (body.length > MAX_TEXT_LENGTH) {
      this.drops.arriving("too_large", [span.context]);
      this.#options.onLost?.([span.context]);
    } else {
      const scope = encodeScope(span.scope);
      this.#pending.append([{ resource, scope, sampled: isSampled(span.context), spans: [factsOf(span)], body }]);
    }
    this.#settle();
  }

  /** Writes the counts into a span of the tail, and resets them. */
  #reportDrops(): void {
    const isAlone = this.segments.oldestMs() === undefined;
    const counts = this.drops.take(isAlone).map(({ reason, spans }) => [`valet.dropped_spans.${reason}`, spans]);
    if (counts.length === 0) return;
    const { sessionId, known } = this.#options;
    // It begins a trace of its own.
    const origin = originAttributes(known?.originOf("") ?? {});
    const attributes = { ...sessionAttributes(sessionId), ...origin, ...Object.fromEntries(counts) };
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
   * @param hasBackend whether there is a backend that segments can have reached
   */
  fold(isExported: (segmentId: number) => boolean = () => true, hasBackend = false): void {
    this.#options.transact(() => {
      this.store();
      this.#reportDrops();
      this.store();
      this.segments.fold(this.#options.now());
      while (this.segments.bytes() > this.#options.maxBytes) {
        const oldest = this.segments.deleteOldest();
        if (oldest === undefined) return;
        const isLost = oldest.sampled && !isExported(oldest.id);
        if (isLost) this.drops.leaving("queue_full", oldest);
        this.#accounts.addRemoved(removedSpans(oldest.body), {
          isSampled: oldest.sampled,
          isAcknowledged: hasBackend && !isLost,
        });
      }
    });
  }
}

function openRowOf(span: OpenSpan): SpanRow {
  return { traceId: span.context.traceId, ...openFactsOf(span) };
}

/** Returns what is left to say of the spans of a segment that is deleted. */
function removedSpans(body: Uint8Array) {
  return bodiesOf(unpack(body))
    .flatMap(readStored)
    .map(({ traceId, spanId, isSealed, isAdopted = false }) => ({ traceId, spanId, isSealed, isAdopted }));
}
