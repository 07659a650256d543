/** The SERVER span of an HTTP request (OpenTelemetry semantic conventions, "HTTP spans"). */
import type { SpanOf } from "../outcome.ts";
import { type EndedBy, HTTP_METHODS, type ValetSpans } from "../spans.ts";
import { type EpochTime, extractFromHeaders, SpanKind, StatusCode, type Tracer } from "../tracing/index.ts";

export interface RequestInfo {
  readonly method: string;
  /** The route's template; `undefined` if no route matches. */
  readonly route: string | undefined;
  readonly url: URL;
  readonly headers: Headers;
  /** Now by default. */
  readonly startTime?: EpochTime | undefined;
}

export type RequestSpan = SpanOf<`POST ${string}`>;

/** Starts the span of a request: a child of the caller's span, if the request has a `traceparent`. */
export function startRequestSpan(tracer: Tracer<ValetSpans>, info: RequestInfo): RequestSpan {
  const { method, route, url, headers, startTime } = info;
  const known = HTTP_METHODS.find((each) => each === method) ?? "_OTHER";
  const name = known === "_OTHER" ? "HTTP" : known;
  return tracer.startSpan(route === undefined ? name : `${name} ${route}`, {
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

/** Why a request was aborted, by response status. */
const ABORTED: Readonly<Record<number, EndedBy<"http_request">>> = {
  499: "client_closed_request",
  408: "request_timeout",
};

/** Ends the span. A 4xx status is an error of the caller, not of the server (ibid., "Status"). */
export function endRequestSpan(span: RequestSpan, status: number): void {
  span.setAttribute("http.response.status_code", status);
  const aborted = ABORTED[status];
  if (aborted !== undefined) span.setAttributes({ "valet.outcome": "aborted", "valet.outcome.reason": aborted });
  if (status >= 500) {
    span.setAttribute("error.type", `${status}`);
    span.setStatus(StatusCode.ERROR);
  }
  span.end();
}
