import { isSampled } from "./context.ts";
import { type DropReason, type OnDiagnostic, quiet } from "./diagnostics.ts";
import type { EncodedBatch, OtlpExporter } from "./exporter.ts";
import type { Resource } from "./otlp.ts";
import type { ReadableSpan } from "./readable-span.ts";
import { backoffMs, MAX_ATTEMPTS } from "./retry.ts";
import type { SpanProcessor } from "./span-processor.ts";
import { later, within } from "./timers.ts";
import { Tracer } from "./tracer.ts";

export interface BatchOptions {
  readonly exporter: OtlpExporter;
  /** The resource of every span of this processor. */
  readonly resource: Resource;
  /** When this many ended spans are queued, a flush starts. 50 by default; the SDK's processor waits for a full batch. */
  readonly maxQueuedSpans?: number | undefined;
  /** The maximum number of spans, queued or being sent; further ones are dropped and counted. 2048 by default. */
  readonly maxQueueSize?: number | undefined;
  /** The maximum number of spans in one request. 512 by default. */
  readonly maxExportBatchSize?: number | undefined;
  /** After this delay fewer than `maxQueuedSpans` are flushed, too. `Infinity` sets no timer: the owner flushes. 5 s by default. */
  readonly scheduleDelayMs?: number | undefined;
  /** The timeout of every flush. 30 s by default. */
  readonly flushTimeoutMs?: number | undefined;
  /** Receives each flush that the processor starts by itself: in a Durable Object `(flush) => ctx.waitUntil(flush)`. */
  readonly scheduleFlush?: ((flush: Promise<unknown>) => void) | undefined;
  readonly onDiagnostic?: OnDiagnostic | undefined;
}

/** HTTP "Content Too Large". */
const TOO_LARGE = 413;

/** How many spans were dropped, by the attribute that reports it: `valet.dropped_spans.{reason}`. */
type DropCounts = Record<string, number>;

/** The first spans of the queue, encoded but not yet delivered. */
interface HeldBatch {
  readonly encoded: EncodedBatch;
  /** How many spans, without the report of drops. */
  readonly spans: number;
  /** The drops that the batch reports. */
  readonly reported: DropCounts;
  attempts: number;
  notBeforeMs: number;
}

/**
 * Exports ended, sampled spans to a backend in batches, with bounded memory and one request at a time, like OpenTelemetry's
 * `BatchSpanProcessor`. It differs from the SDK's (Trace SDK, "Batching processor"):
 * - It retries. A failed batch is kept, encoded, until it is delivered, refused or out of attempts; the SDK leaves retries to the
 *   exporter and drops the spans.
 * - A flush starts at `maxQueuedSpans` spans, and `scheduleFlush` receives each flush that starts by itself, so that a process that
 *   is stopped between requests can be kept alive for it.
 * - `forceFlush` takes a timeout and returns whether the queue is empty; the SDK's returns success, failure or timeout.
 * - Every dropped span is counted by reason, and the count is exported as a span.
 */
export class BatchSpanProcessor implements SpanProcessor {
  readonly #options: BatchOptions;
  readonly #tell: OnDiagnostic;
  readonly #stop = new AbortController();
  /** Spans that are neither delivered nor dropped. */
  readonly #queue: ReadableSpan[] = [];
  #held: HeldBatch | undefined;
  /** Drops that have not been reported to the backend. */
  readonly #drops: DropCounts = {};
  /** Spans that a full queue has dropped since the last batch; one diagnostic reports them together. */
  #overflow = 0;
  #draining: Promise<void> | undefined;
  /** Until when the current drain may wait for a retry, epoch ms. */
  #deadlineMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shutdown: Promise<void> | undefined;
  #hasWarned = false;
  /** The maximum number of spans in a request since the backend answered 413: each 413 halves it, each success doubles it. */
  #mostSpans = Number.POSITIVE_INFINITY;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#tell = quiet(options.onDiagnostic);
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    const { maxQueuedSpans = 50, maxQueueSize = 2048 } = this.#options;
    if (!isSampled(span.context)) return;
    if (this.#shutdown) this.#drop("shutdown", 1);
    else if (this.#queue.length >= maxQueueSize) this.#overflow++;
    else if (this.#queue.push(span) >= maxQueuedSpans) this.#startFlush();
    else this.#arm();
  }

  /**
   * Exports the queued spans, with retries, for at most `timeoutMs`.
   * @returns whether the queue is empty; remaining spans stay for the next flush
   */
  async forceFlush(timeoutMs: number = this.#flushTimeoutMs): Promise<boolean> {
    this.#deadlineMs = Math.max(this.#deadlineMs, Date.now() + timeoutMs);
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
      if (this.#held || this.#queue.length > 0) this.#arm();
    });
    await within(timeoutMs, this.#draining, () => {});
    return !this.#held && this.#queue.length === 0;
  }

  /** Flushes a last time, for at most `timeoutMs`. Remaining spans, and any that end later, are dropped and counted. */
  shutdown(timeoutMs?: number): Promise<void> {
    this.#shutdown ??= this.forceFlush(timeoutMs).then(() => {
      clearTimeout(this.#timer);
      this.#stop.abort();
      this.#countOverflow();
      this.#drop("shutdown", this.#release(this.#queue.length));
    });
    return this.#shutdown;
  }

  get #flushTimeoutMs(): number {
    return this.#options.flushTimeoutMs ?? 30_000;
  }

  #startFlush(): void {
    if (this.#draining) return;
    // If the backend asked for a longer delay than a flush may take, no flush starts now.
    if ((this.#held?.notBeforeMs ?? 0) > Date.now() + this.#flushTimeoutMs) {
      this.#arm();
      return;
    }
    const flush = this.forceFlush();
    try {
      this.#options.scheduleFlush?.(flush);
    } catch (error) {
      this.#tell({ type: "callback_error", error });
    }
  }

  #arm(): void {
    const { scheduleDelayMs = 5000 } = this.#options;
    if (this.#timer || this.#shutdown || scheduleDelayMs === Infinity) return;
    const delayMs = Math.max(scheduleDelayMs, (this.#held?.notBeforeMs ?? 0) - Date.now());
    this.#timer = later(delayMs, () => {
      this.#timer = undefined;
      this.#startFlush();
    });
  }

  /** Sends one batch after the other until the queue is empty or the next retry is beyond the deadline. Runs once at a time. */
  async #drain(): Promise<void> {
    // Encoding starts in a microtask, so that the caller that ends a span does not wait for it.
    await undefined;
    // A report of drops is sent with spans. It is sent alone only at the start and after a success: otherwise a backend that
    // refuses everything would receive reports of refused reports for ever.
    let reportAlone = true;
    for (;;) {
      this.#held ??= await this.#encodeNext(reportAlone);
      if (!this.#held) return;
      const { notBeforeMs } = this.#held;
      const waitMs = notBeforeMs - Date.now();
      if (waitMs <= 0) reportAlone = await this.#attempt(this.#held);
      else if (notBeforeMs > this.#deadlineMs) return;
      else await new Promise<void>((resolve) => later(waitMs, resolve));
    }
  }

  /** @param reportAlone whether a report of drops may be sent without spans */
  async #encodeNext(
    reportAlone: boolean,
    most = Math.min(this.#options.maxExportBatchSize ?? 512, this.#mostSpans),
  ): Promise<HeldBatch | undefined> {
    this.#countOverflow();
    const spans = this.#queue.slice(0, most);
    const reported = { ...this.#drops };
    const report = dropReport(reported);
    if (spans.length === 0 && !(reportAlone && report.length > 0)) return undefined;
    const { exporter, resource } = this.#options;
    const encoded = await exporter.encode(resource, [...report, ...spans]).catch(() => undefined);
    if (this.#stop.signal.aborted) return undefined;
    if (encoded) return { encoded, spans: spans.length, reported, attempts: 0, notBeforeMs: 0 };
    // Too large for one request: the batch is halved until it fits, or consists of one span that is too large.
    if (spans.length > 1) return this.#encodeNext(reportAlone, spans.length >> 1);
    this.#drop("too_large", this.#release(spans.length));
    return this.#encodeNext(reportAlone && spans.length > 0);
  }

  /** @returns whether the batch was delivered */
  async #attempt(held: HeldBatch): Promise<boolean> {
    const { encoded, spans, reported } = held;
    const result = await this.#options.exporter.send(encoded, this.#stop.signal);
    // A shutdown has dropped and counted these spans.
    if (this.#stop.signal.aborted) return false;
    if (result.outcome === "delivered") {
      this.#release(spans);
      for (const key in reported) {
        this.#drops[key]! -= reported[key]!;
        if (this.#drops[key] === 0) delete this.#drops[key];
      }
      const { rejectedSpans, message, isUnexpected } = result;
      if (isUnexpected) this.#warnOnce(message);
      else if (rejectedSpans > 0 || message) this.#tell({ type: "partial_success", rejectedSpans, message });
      this.#drop("rejected", Math.min(rejectedSpans, spans));
      this.#mostSpans *= 2;
      return true;
    }
    const { outcome, ...failure } = result;
    if (failure.status === TOO_LARGE && spans > 1) {
      this.#tell({ type: "export_failed", ...failure, spans, retryInMs: 0 });
      this.#mostSpans = spans >> 1;
      this.#held = undefined;
      return false;
    }
    // Spans must not stay in memory for long: a held batch is retried as often as a failed one.
    if (outcome !== "refused" && ++held.attempts < MAX_ATTEMPTS) {
      const retryInMs =
        (outcome === "retry" ? result.retryAfterMs : undefined) ?? backoffMs(held.attempts, Math.random());
      held.notBeforeMs = Date.now() + retryInMs;
      this.#tell({ type: "export_failed", ...failure, spans, retryInMs });
    } else {
      this.#tell({ type: "export_failed", ...failure, spans });
      const refusal = failure.status === TOO_LARGE ? "too_large" : "not_retryable";
      this.#drop(outcome === "refused" ? refusal : "retries_exhausted", this.#release(spans));
    }
    return false;
  }

  #warnOnce(message: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#tell({ type: "unexpected_answer", message });
  }

  /** Removes the held batch and the first spans of the queue. @returns how many spans */
  #release(spans: number): number {
    this.#held = undefined;
    return this.#queue.splice(0, spans).length;
  }

  #countOverflow(): void {
    this.#drop("queue_full", this.#overflow);
    this.#overflow = 0;
  }

  #drop(reason: DropReason, spans: number): void {
    if (spans === 0) return;
    const key = `valet.dropped_spans.${reason}`;
    this.#drops[key] = (this.#drops[key] ?? 0) + spans;
    this.#tell({ type: "spans_dropped", reason, spans });
  }
}

/** Returns the span that reports dropped spans to the backend, if any were dropped. */
function dropReport(attributes: DropCounts): ReadableSpan[] {
  const ended: ReadableSpan[] = [];
  if (Object.keys(attributes).length > 0) {
    const processor: SpanProcessor = { onStart() {}, onEnd: (span) => ended.push(span) };
    const tracer = new Tracer({ scope: { name: "@valet/shared/tracing" }, processor });
    tracer.startSpan("valet.trace_plane.dropped", { attributes }).end();
  }
  return ended;
}
