/** The SERVER span of one request, and where it goes: to the session that the request reached, or straight to the backend. */

import { DOUBLE_KEYS, type EndedBy, HTTP_METHODS, type SpanAttributes, type ValetSpans } from "@valet/shared/spans";
import {
  BatchingExporter,
  contextHeaders,
  type EpochTime,
  encodeTraces,
  extractFromHeaders,
  isSampled,
  OtlpExporter,
  type ReadableSpan,
  recordDropped,
  type Span,
  SpanKind,
  StatusCode,
  Tracer,
  wallClock,
} from "@valet/shared/tracing";
import type { SessionCalls } from "../durable-objects/contract.ts";
import { logFailure } from "../log-failure.ts";
import { SCOPE, type WorkerTracing, warn, warnOfExport } from "../worker-tracing.ts";

export interface RequestInfo {
  readonly method: string;
  /** The route's template; none where no route answers. */
  readonly route: string | undefined;
  readonly url: URL;
  readonly headers: Headers;
  readonly startTime: EpochTime;
}

/** A workerd request may go on for 30 s after its answer. */
const EXPORT_TIMEOUT_MS = 20_000;

/** What a request did not come to its end for, by the status that says so. */
const ABORTED: Readonly<Record<number, EndedBy<"http_request">>> = {
  499: "client_closed_request",
  408: "request_timeout",
};

export class RequestTrace {
  readonly #tracing: WorkerTracing;
  readonly #ended: ReadableSpan[] = [];
  readonly #span: Span<SpanAttributes<"POST ${string}">>;

  /** Only for callers that have shown who they are: the trace of the request goes on from theirs. */
  constructor(tracing: WorkerTracing, { method, route, url, headers, startTime }: RequestInfo) {
    const { config } = tracing;
    this.#tracing = tracing;
    const tracer = new Tracer<ValetSpans>({
      scope: SCOPE,
      sink: { onStart: () => {}, onEnd: (span) => this.#ended.push(span) },
      // A session keeps in its own store what is not sampled.
      sampler: recordDropped(config.sampler),
      limits: config.limits,
      clock: wallClock,
      enabled: config.enabled,
      captureContent: config.captureContent,
      doubleKeys: DOUBLE_KEYS,
      onDiagnostic: warn,
    });
    const known = HTTP_METHODS.find((each) => each === method) ?? "_OTHER";
    const name = known === "_OTHER" ? "HTTP" : known;
    this.#span = tracer.startSpan(route === undefined ? name : `${name} ${route}`, {
      kind: SpanKind.SERVER,
      parent: extractFromHeaders(headers),
      startTime,
      attributes: {
        "http.request.method": known,
        "http.route": route,
        "url.path": url.pathname,
        "url.scheme": url.protocol === "https:" ? "https" : "http",
      },
    });
  }

  /** What the session is given to go on from. */
  get carrier(): { readonly traceparent?: string; readonly tracestate?: string } {
    return contextHeaders(this.#span.context);
  }

  describe(attributes: SpanAttributes<"POST ${string}">): void {
    this.#span.setAttributes(attributes);
  }

  /** Makes the span one of the session's. */
  describeSession(id: string): void {
    this.describe({ "valet.session.id": id, "session.id": id, "gen_ai.conversation.id": id });
  }

  /**
   * Ends the span. 4xx is the caller's error and not ours (OpenTelemetry semantic conventions, "HTTP server spans: Status"). A
   * request that its caller did not finish is aborted.
   */
  end(status: number): void {
    this.#span.setAttribute("http.response.status_code", status);
    const reason = ABORTED[status];
    if (reason !== undefined) this.describe({ "valet.outcome": "aborted", "valet.outcome.reason": reason });
    if (status >= 500) {
      this.#span.setAttribute("error.type", `${status}`);
      this.#span.setStatus(StatusCode.ERROR);
    }
    this.#span.end();
  }

  /**
   * Brings the ended span to the session, or to the backend if the request reached none. Never rejects; to be waited for
   * after the answer.
   */
  async deliver(session: Pick<SessionCalls, "recordSpans"> | undefined): Promise<void> {
    if (this.#ended.length === 0) return;
    try {
      if (session !== undefined) await session.recordSpans(encodeTraces(this.#tracing.resource, this.#ended));
      else await this.#export();
    } catch (error) {
      logFailure("the span of a request is lost", error);
    }
  }

  /** Sends the one span there is: what one request holds in memory, no other can be relied on to send. */
  async #export(): Promise<void> {
    const { config, resource } = this.#tracing;
    if (config.endpoint === undefined || !this.#ended.every(({ context }) => isSampled(context))) return;
    const exporter = new BatchingExporter({
      exporter: new OtlpExporter({ ...config, url: config.endpoint }),
      resource,
      scheduleDelayMs: Number.POSITIVE_INFINITY,
      onDiagnostic: warnOfExport(this.#tracing),
    });
    for (const span of this.#ended) exporter.onEnd(span);
    await exporter.flush(EXPORT_TIMEOUT_MS);
  }
}
