import { formatTraceparent, isValidContext, parseTraceparent, type SpanContext } from "./context.ts";
import { trimOws } from "./tracestate.ts";

/** Headers as Node gives them (`string[]` for a repeated one) or as a plain record. */
export type HeaderRecord = Record<string, string | readonly string[] | undefined>;
/** A process environment, or part of one. */
export type EnvironmentRecord = Record<string, string | undefined>;

/**
 * The context that a request carries, if its `traceparent` is valid. Several `traceparent` headers are none: nobody could
 * say which of them is the caller's. Header names match in any case (Trace Context Level 2, section 3.2).
 */
export function extractFromHeaders(headers: Headers | HeaderRecord): SpanContext | undefined {
  return extract(fieldValue(headers, "traceparent"), fieldValue(headers, "tracestate"));
}

/** The context that a parent process handed over in `TRACEPARENT` and `TRACESTATE`. */
export function extractFromEnvironment(env: EnvironmentRecord): SpanContext | undefined {
  return extract(env.TRACEPARENT ?? "", env.TRACESTATE ?? "");
}

/** The headers to send, none for a context that is not valid: `{ ...headers, ...contextHeaders(span.context) }`. */
export function contextHeaders(context: SpanContext): { traceparent?: string; tracestate?: string } {
  if (!isValidContext(context)) return {};
  const traceparent = formatTraceparent(context);
  return context.traceState === "" ? { traceparent } : { traceparent, tracestate: context.traceState };
}

/** Sets the headers on a carrier, in place, and removes those of another context that it held. */
export function injectIntoHeaders(context: SpanContext, headers: Headers | HeaderRecord): void {
  const values = contextHeaders(context);
  for (const name of ["traceparent", "tracestate"] as const) {
    const value = values[name];
    if (isHeaders(headers)) {
      headers.delete(name);
      if (value) headers.set(name, value);
    } else {
      for (const key of keysOf(headers, name)) delete headers[key];
      if (value) headers[name] = value;
    }
  }
}

/** Sets `TRACEPARENT` and `TRACESTATE`, in place, and removes those of another context that it held. */
export function injectIntoEnvironment(context: SpanContext, env: EnvironmentRecord): void {
  const { traceparent, tracestate } = contextHeaders(context);
  delete env.TRACEPARENT;
  delete env.TRACESTATE;
  if (traceparent) env.TRACEPARENT = traceparent;
  if (tracestate) env.TRACESTATE = tracestate;
}

function extract(traceparent: string, tracestate: string): SpanContext | undefined {
  // A comma means that several fields have been joined, here or by whoever read them.
  return traceparent.includes(",") ? undefined : parseTraceparent(trimOws(traceparent), tracestate);
}

/** All fields of a name as one: joined by commas, in order (RFC 9110, section 5.3). Empty when there is none. */
function fieldValue(headers: Headers | HeaderRecord, name: string): string {
  if (isHeaders(headers)) return headers.get(name) ?? "";
  return keysOf(headers, name)
    .flatMap((key) => headers[key] ?? [])
    .join(",");
}

/** By its methods, not its class: every implementation of fetch, and every realm, has a `Headers` of its own. */
function isHeaders(headers: Headers | HeaderRecord): headers is Headers {
  return typeof headers.get === "function";
}

function keysOf(record: HeaderRecord, name: string): string[] {
  return Object.keys(record).filter((key) => key.toLowerCase() === name);
}
