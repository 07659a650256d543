/**
 * The SERVER span of one request. The session that the request changes ends it with the change. Otherwise it is delivered to the
 * session that the request reached, or else to the backend.
 */

import { endRequestSpan, type RequestInfo, type RequestSpan, startRequestSpan } from "@valet/shared/http/request-span";
import { DOUBLE_KEYS, type SpanAttributes, sessionAttributes, type ValetSpans } from "@valet/shared/spans";
import {
  BatchSpanProcessor,
  contextHeaders,
  encodeTraces,
  isSampled,
  type OpenSpan,
  OtlpExporter,
  type ReadableSpan,
  recordDropped,
  serialiseSpan,
  Tracer,
  wallClock,
} from "@valet/shared/tracing";
import type { RequestToEnd, SessionCalls } from "../durable-objects/contract.ts";
import { logFailure } from "../log-failure.ts";
import { SCOPE, type WorkerTracing, warn, warnOfExport } from "../worker-tracing.ts";
import { isStorageFull, isStorageLost } from "./storage-full.ts";

/** workerd lets a request continue for 30 s after its answer. */
const EXPORT_TIMEOUT_MS = 20_000;

export class RequestTrace {
  readonly #tracing: WorkerTracing;
  readonly #ended: ReadableSpan[] = [];
  readonly #span: RequestSpan;
  #isHandedOver = false;

  /** Only for authenticated callers, since the span continues the caller's trace. */
  constructor(tracing: WorkerTracing, request: RequestInfo) {
    const { config } = tracing;
    this.#tracing = tracing;
    const tracer = new Tracer<ValetSpans>({
      scope: SCOPE,
      processor: { onStart: () => {}, onEnd: (span) => this.#ended.push(span) },
      // A session stores unsampled spans, too.
      sampler: recordDropped(config.sampler),
      limits: config.limits,
      clock: wallClock,
      enabled: config.enabled,
      captureContent: config.captureContent,
      doubleKeys: DOUBLE_KEYS,
      onDiagnostic: warn,
    });
    this.#span = startRequestSpan(tracer, request);
  }

  /** The trace context that is passed to the session. */
  get carrier(): { readonly traceparent?: string; readonly tracestate?: string } {
    return contextHeaders(this.#span.context);
  }

  /** Returns the span for a call that may end it; `undefined` if it is not recorded. */
  toEnd(status: number): RequestToEnd | undefined {
    if (!this.#span.isRecording) return undefined;
    // A span that records can be read.
    return { span: serialiseSpan(this.#span as unknown as OpenSpan), status };
  }

  /** Records that a call has ended the span, which is no longer delivered. */
  handedOver(): void {
    this.#isHandedOver = true;
  }

  describe(attributes: SpanAttributes<"POST ${string}">): void {
    this.#span.setAttributes(attributes);
  }

  /** Makes the span belong to the session. */
  describeSession(id: string): void {
    this.describe(sessionAttributes(id));
  }

  end(status: number): void {
    endRequestSpan(this.#span, status);
  }

  /**
   * Delivers the ended span to the session, or to the backend if the request reached no session or the session has no
   * room for it. Never rejects; runs after the answer, in `waitUntil`.
   */
  async deliver(session: Pick<SessionCalls, "recordSpans"> | undefined): Promise<void> {
    if (this.#ended.length === 0 || this.#isHandedOver) return;
    try {
      const store = () => session?.recordSpans(encodeTraces(this.#tracing.resource, this.#ended));
      if (session === undefined || (await store()) === false) await this.#export();
    } catch (error) {
      // Nothing was stored, so the backend does not receive it twice.
      const isFull = isStorageFull(error) || isStorageLost(error);
      if (!isFull || !(await this.#export())) logFailure("a request's span was lost", error);
    }
  }

  /**
   * Sends this one span at once: nothing guarantees that a later request runs in the same isolate. Never rejects.
   * @returns false if it is not sent, since there is no backend or it is not sampled
   */
  async #export(): Promise<boolean> {
    const { config, resource } = this.#tracing;
    if (config.endpoint === undefined || !this.#ended.every(({ context }) => isSampled(context))) return false;
    const exporter = new BatchSpanProcessor({
      exporter: new OtlpExporter({ ...config, url: config.endpoint }),
      resource,
      scheduleDelayMs: Number.POSITIVE_INFINITY,
      onDiagnostic: warnOfExport(this.#tracing),
    });
    for (const span of this.#ended) exporter.onEnd(span);
    await exporter.forceFlush(EXPORT_TIMEOUT_MS);
    return true;
  }
}
