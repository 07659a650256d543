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
  /** Who emits, for every span of this processor. */
  readonly resource: Resource;
  /** As many ended spans start a flush by themselves. 50 unless given; the SDK waits for a full batch. */
  readonly maxQueuedSpans?: number | undefined;
  /** Spans held at the most, queued or being sent; further ones are dropped and counted. 2048 unless given. */
  readonly maxQueueSize?: number | undefined;
  /** Spans in one request at the most. 512 unless given. */
  readonly maxExportBatchSize?: number | undefined;
  /** Fewer spans than start a flush wait this long. `Infinity` sets no timer: the owner flushes. 5 s unless given. */
  readonly scheduleDelayMs?: number | undefined;
  /** The bound of every flush. 30 s unless given. */
  readonly flushTimeoutMs?: number | undefined;
  /** Is handed each flush that the processor starts by itself: in a Durable Object `(flush) => ctx.waitUntil(flush)`. */
  readonly scheduleFlush?: ((flush: Promise<unknown>) => void) | undefined;
  readonly onDiagnostic?: OnDiagnostic | undefined;
}

/** HTTP "Content Too Large". */
const TOO_LARGE = 413;

/** How many spans were lost, by the attribute that reports it: `valet.dropped_spans.{reason}`. */
type DropCounts = Record<string, number>;

/** What has been encoded and is not yet delivered: the first spans of the queue. */
interface HeldBatch {
  readonly encoded: EncodedBatch;
  /** How many spans, the report of drops not counted. */
  readonly spans: number;
  /** The drops that it reports. */
  readonly reported: DropCounts;
  attempts: number;
  notBeforeMs: number;
}

/**
 * Sends ended, sampled spans to a backend in batches: bounded in memory and one request at a time, as OpenTelemetry's
 * `BatchSpanProcessor` does. It differs from the SDK's (Trace SDK, "Batching processor"):
 * - It retries. A batch that failed is kept as the bytes that were sent, until it is delivered, refused or out of attempts; the SDK
 *   leaves that to the exporter and lets go of the spans.
 * - A flush begins with `maxQueuedSpans` spans already, and `scheduleFlush` is given each one that begins by itself, so that a
 *   process that is ended between requests can be kept alive for it.
 * - `forceFlush` takes a timeout and tells whether nothing is left, where the SDK's tells success, failure or timeout.
 * - Every span that is lost is counted by reason, and the count is exported as a span.
 */
export class BatchSpanProcessor implements SpanProcessor {
  readonly #options: BatchOptions;
  readonly #tell: OnDiagnostic;
  readonly #stop = new AbortController();
  /** Spans that are neither delivered nor dropped. */
  readonly #queue: ReadableSpan[] = [];
  #held: HeldBatch | undefined;
  /** Drops that the backend does not know of. */
  readonly #drops: DropCounts = {};
  /** A full queue drops spans one by one: they are counted together, with the next batch. */
  #overflow = 0;
  #draining: Promise<void> | undefined;
  /** Until when the running drain may wait for a retry. */
  #deadlineMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shutdown: Promise<void> | undefined;
  #hasWarned = false;
  /** Spans in a request at the most since the backend answered 413: halved by each, doubled by each success. */
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
   * Sends what is there, retries included, for no longer than `timeoutMs`.
   * @returns whether nothing is left; what is left stays for the next flush
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

  /** Flushes a last time, for no longer than `timeoutMs`. What is left then, and what still comes, is dropped and counted. */
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
    // A backend that asks for more patience than a flush has is left alone.
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

  /** Sends batch after batch until nothing is left or the next retry lies beyond the deadline. One runs at a time. */
  async #drain(): Promise<void> {
    // Whoever ends the span that fills a batch does not wait for its encoding.
    await undefined;
    // A report of drops travels with spans; alone only at the start and after a success, or a backend that refuses
    // everything would be sent reports of refused reports for ever.
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

  /** @param reportAlone whether drops are worth a batch without spans */
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
    // Too large for one request: halved until it fits or is down to the span that alone is too large.
    if (spans.length > 1) return this.#encodeNext(reportAlone, spans.length >> 1);
    this.#drop("too_large", this.#release(spans.length));
    return this.#encodeNext(reportAlone && spans.length > 0);
  }

  /** @returns whether the batch was delivered */
  async #attempt(held: HeldBatch): Promise<boolean> {
    const { encoded, spans, reported } = held;
    const result = await this.#options.exporter.send(encoded, this.#stop.signal);
    // A shutdown has given it up and counted it.
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
    // Memory is no place to hold spans for long: what is held is tried as often as what failed.
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

  /** Lets go of what is held and of the first spans, whose number it returns. */
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

/** The span that tells the backend what it did not get, if there is any. */
function dropReport(attributes: DropCounts): ReadableSpan[] {
  const ended: ReadableSpan[] = [];
  if (Object.keys(attributes).length > 0) {
    const processor: SpanProcessor = { onStart() {}, onEnd: (span) => ended.push(span) };
    const tracer = new Tracer({ scope: { name: "@valet/shared/tracing" }, processor });
    tracer.startSpan("valet.trace_plane.dropped", { attributes }).end();
  }
  return ended;
}
