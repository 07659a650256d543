import { isSampled, TraceFlags } from "./context.ts";
import { type DropReason, type OnDiagnostic, quiet } from "./diagnostics.ts";
import type { EncodedBatch, OtlpExporter } from "./exporter.ts";
import { createRandomIds, type IdGenerator } from "./ids.ts";
import type { Resource } from "./otlp.ts";
import { backoffMs, MAX_ATTEMPTS } from "./retry.ts";
import type { SpanSink } from "./sink.ts";
import { type ReadableSpan, SpanKind, StatusCode } from "./span.ts";
import { wallClock } from "./time.ts";

export interface BatchOptions {
  readonly exporter: OtlpExporter;
  /** Who emits, for every span of this sink. */
  readonly resource: Resource;
  /** As many ended spans start a flush of their own. 50 unless given. */
  readonly maxQueuedSpans?: number | undefined;
  /** Spans held at the most, queued or being sent; further ones are dropped and counted. 2048 unless given. */
  readonly maxQueueSize?: number | undefined;
  /** Spans in one request at the most. 512 unless given. */
  readonly maxExportBatchSize?: number | undefined;
  /** Fewer spans than start a flush wait this long. `Infinity` sets no timer: the owner flushes. 5 s unless given. */
  readonly scheduleDelayMs?: number | undefined;
  /** The bound of every flush. 30 s unless given. */
  readonly flushTimeoutMs?: number | undefined;
  /** Is handed each flush that the sink starts by itself: in a Durable Object `(flush) => ctx.waitUntil(flush)`. */
  readonly scheduleFlush?: ((flush: Promise<unknown>) => void) | undefined;
  readonly onDiagnostic?: OnDiagnostic | undefined;
}

/** Spans lost, by reason, since a report of them last reached the backend. */
type DropCounts = Partial<Record<DropReason, number>>;

/** What has been encoded and is not yet delivered. */
interface HeldBatch {
  readonly encoded: EncodedBatch;
  /** How many spans, the report of drops not counted. */
  readonly spans: number;
  /** The drops that this batch reports, which are to be reported again if it is lost itself. */
  readonly reported: DropCounts;
  attempts: number;
  notBeforeMs: number;
}

/** The span that tells the backend what it did not get. */
const DROP_REPORT = "valet.trace_plane.dropped";

/**
 * A sink that sends ended, sampled spans to a backend in batches: bounded in memory, one request at a time, and a batch
 * that failed is kept, as the bytes it is, until it is delivered, refused or out of attempts. Every span that is lost is
 * counted, and the count is itself exported.
 */
export class BatchingExporter implements SpanSink {
  readonly #options: BatchOptions;
  readonly #tell: OnDiagnostic;
  readonly #ids = createRandomIds();
  readonly #stop = new AbortController();
  #queue: ReadableSpan[] = [];
  /** Spans that have left the queue and are neither delivered nor dropped. */
  #taken = 0;
  #held: HeldBatch | undefined;
  /** Not yet reported to the backend. */
  #drops: DropCounts = {};
  /** Not yet told to `onDiagnostic`. */
  #untold: DropCounts = {};
  #draining: Promise<void> | undefined;
  /** Until when the running drain may wait for a retry. */
  #deadlineMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shutdown: Promise<void> | undefined;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#tell = quiet(options.onDiagnostic);
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (!isSampled(span.context)) return;
    const { maxQueuedSpans = 50, maxQueueSize = 2048 } = this.#options;
    if (this.#shutdown !== undefined) this.#drop("shutdown", 1);
    else if (this.#queue.length + this.#taken >= maxQueueSize) this.#drop("queue_full", 1);
    else {
      this.#queue.push(span);
      if (this.#queue.length >= maxQueuedSpans) this.#startFlush();
      else this.#arm();
    }
  }

  /**
   * Sends what is there, retries included, for no longer than `timeoutMs`.
   * @returns whether nothing is left; what is left stays for the next flush
   */
  async flush(timeoutMs: number = this.#flushTimeoutMs): Promise<boolean> {
    this.#deadlineMs = Math.max(this.#deadlineMs, Date.now() + timeoutMs);
    this.#draining ??= this.#drain();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.#draining, timeout]);
    clearTimeout(timer);
    return this.#queue.length + this.#taken === 0 && this.#held === undefined;
  }

  /** Flushes a last time, for no longer than `timeoutMs`. What is left then, and what still comes, is dropped and counted. */
  shutdown(timeoutMs: number = this.#flushTimeoutMs): Promise<void> {
    this.#shutdown ??= this.#close(timeoutMs);
    return this.#shutdown;
  }

  async #close(timeoutMs: number): Promise<void> {
    await this.flush(timeoutMs);
    clearTimeout(this.#timer);
    this.#stop.abort();
    this.#drop("shutdown", this.#queue.length + this.#taken);
    this.#queue = [];
    this.#taken = 0;
    this.#held = undefined;
  }

  get #flushTimeoutMs(): number {
    return this.#options.flushTimeoutMs ?? 30_000;
  }

  #startFlush(): void {
    if (this.#draining !== undefined) return;
    const notBeforeMs = this.#held?.notBeforeMs ?? 0;
    if (notBeforeMs > Date.now() + this.#flushTimeoutMs) {
      this.#arm();
      return;
    }
    const flush = this.flush();
    try {
      this.#options.scheduleFlush?.(flush);
    } catch (error) {
      this.#tell({ type: "sink_error", error });
    }
  }

  #arm(): void {
    const { scheduleDelayMs = 5000 } = this.#options;
    if (this.#timer !== undefined || this.#shutdown !== undefined || scheduleDelayMs === Number.POSITIVE_INFINITY)
      return;
    const delayMs = Math.max(scheduleDelayMs, (this.#held?.notBeforeMs ?? 0) - Date.now());
    const timer = setTimeout(() => {
      this.#timer = undefined;
      this.#startFlush();
    }, delayMs);
    this.#timer = timer;
    // Waiting spans must not keep a Node process alive; elsewhere a timer is a number.
    (timer as { unref?: () => void }).unref?.();
  }

  /** Sends batch after batch until nothing is left or the next retry lies beyond the deadline. One runs at a time. */
  async #drain(): Promise<void> {
    // Lets the caller keep the promise before anything below can end.
    await undefined;
    // A report of drops travels with spans; alone only at the start and after a success, or a backend that refuses
    // everything would be sent reports of refused reports for ever.
    let reportAlone = true;
    for (;;) {
      this.#held ??= await this.#encodeNext(reportAlone);
      if (this.#held === undefined) break;
      const waitMs = this.#held.notBeforeMs - Date.now();
      if (waitMs <= 0) reportAlone = await this.#attempt(this.#held);
      else if (Date.now() + waitMs <= this.#deadlineMs) await sleep(waitMs, this.#stop.signal);
      else break;
    }
    this.#draining = undefined;
    if (this.#held !== undefined || this.#queue.length > 0) this.#arm();
  }

  async #encodeNext(reportAlone: boolean): Promise<HeldBatch | undefined> {
    const { exporter, resource, maxExportBatchSize = 512 } = this.#options;
    let most = maxExportBatchSize;
    for (;;) {
      this.#tellDrops();
      const hasReport = Object.keys(this.#drops).length > 0;
      if (this.#queue.length === 0 && !(hasReport && reportAlone)) return undefined;
      const spans = this.#queue.splice(0, most);
      this.#taken = spans.length;
      const reported = this.#drops;
      this.#drops = {};
      const report = hasReport ? [dropReport(reported, this.#ids)] : [];
      const encoded = await exporter.encode(resource, [...report, ...spans]).catch(() => undefined);
      if (this.#stop.signal.aborted) return undefined;
      if (encoded !== undefined) return { encoded, spans: spans.length, reported, attempts: 0, notBeforeMs: 0 };
      // Too large for one request: halved until it fits or is down to the span that does not.
      this.#taken = 0;
      addDrops(this.#drops, reported);
      if (spans.length > 1) {
        this.#queue.unshift(...spans);
        most = spans.length >> 1;
      } else {
        this.#drop("too_large", spans.length);
        most = maxExportBatchSize;
      }
    }
  }

  /** @returns whether the batch was delivered */
  async #attempt(held: HeldBatch): Promise<boolean> {
    const result = await this.#options.exporter.send(held.encoded, this.#stop.signal);
    // A shutdown may have given it up and counted it.
    if (this.#held !== held) return false;
    if (result.outcome === "delivered") {
      this.#release();
      const { rejectedSpans, message } = result;
      if (rejectedSpans > 0 || message !== "") this.#tell({ type: "partial_success", rejectedSpans, message });
      this.#drop("rejected", Math.min(rejectedSpans, held.spans));
      return true;
    }
    held.attempts++;
    const retry = result.outcome === "retry" && held.attempts < MAX_ATTEMPTS;
    const { outcome, ...failure } = result;
    const delayMs = (outcome === "retry" ? result.retryAfterMs : undefined) ?? backoffMs(held.attempts, Math.random());
    held.notBeforeMs = Date.now() + delayMs;
    this.#tell({ type: "export_failed", ...failure, spans: held.spans, ...(retry ? { retryInMs: delayMs } : {}) });
    if (!retry) {
      this.#release();
      addDrops(this.#drops, held.reported);
      this.#drop(outcome === "retry" ? "retries_exhausted" : "not_retryable", held.spans);
    }
    return false;
  }

  #release(): void {
    this.#held = undefined;
    this.#taken = 0;
  }

  #drop(reason: DropReason, spans: number): void {
    if (spans === 0) return;
    addDrops(this.#drops, { [reason]: spans });
    addDrops(this.#untold, { [reason]: spans });
    // A full queue drops spans one by one, so these are told together, with the next batch.
    if (reason !== "queue_full") this.#tellDrops();
  }

  #tellDrops(): void {
    const untold = this.#untold;
    this.#untold = {};
    for (const reason of Object.keys(untold) as DropReason[]) {
      this.#tell({ type: "spans_dropped", reason, spans: untold[reason] as number });
    }
  }
}

function addDrops(to: DropCounts, more: DropCounts): void {
  for (const reason of Object.keys(more) as DropReason[]) to[reason] = (to[reason] ?? 0) + (more[reason] as number);
}

function dropReport(drops: DropCounts, ids: IdGenerator): ReadableSpan {
  const now = wallClock();
  return {
    scope: { name: "@valet/shared/tracing" },
    context: {
      traceId: ids.traceId(),
      spanId: ids.spanId(),
      traceFlags: TraceFlags.SAMPLED | TraceFlags.RANDOM,
      traceState: "",
      isRemote: false,
    },
    parent: undefined,
    name: DROP_REPORT,
    kind: SpanKind.INTERNAL,
    startTime: now,
    endTime: now,
    attributes: Object.entries(drops).flatMap(([reason, spans]) => [`valet.dropped_spans.${reason}`, spans]),
    events: [],
    links: [],
    statusCode: StatusCode.UNSET,
    statusMessage: "",
    droppedAttributes: 0,
    droppedEvents: 0,
    droppedLinks: 0,
  };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
