import { formatTraceparent, isValidContext, parseTraceparent, type SpanContext } from "./context.ts";
import { trimOws } from "./tracestate.ts";

/** Headers in Node's form (`string[]` for a repeated one) or as a plain record. */
export type HeaderRecord = Record<string, string | readonly string[] | undefined>;
/** A process environment, or part of one. */
export type EnvironmentRecord = Record<string, string | undefined>;

/**
 * Returns the context of a request; `undefined` if its `traceparent` is missing or not valid. Several `traceparent` headers count
 * as none, since the caller's is unknown. Header names match in any case (Trace Context Level 2, section 3.2).
 */
export function extractFromHeaders(headers: Headers | HeaderRecord): SpanContext | undefined {
  return extract(fieldValue(headers, "traceparent"), fieldValue(headers, "tracestate"));
}

/** Returns the context that a parent process passed in `TRACEPARENT` and `TRACESTATE`. */
export function extractFromEnvironment(env: EnvironmentRecord): SpanContext | undefined {
  return extract(env.TRACEPARENT ?? "", env.TRACESTATE ?? "");
}

/** Returns the headers of a context, none if it is not valid: `{ ...headers, ...contextHeaders(span.context) }`. */
export function contextHeaders(context: SpanContext): { traceparent?: string; tracestate?: string } {
  if (!isValidContext(context)) return {};
  const traceparent = formatTraceparent(context);
  return context.traceState === "" ? { traceparent } : { traceparent, tracestate: context.traceState };
}

/** Sets the headers of a context on a carrier, in place, and removes those of any other context. */
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

/** Sets `TRACEPARENT` and `TRACESTATE` in place, and removes those of any other context. */
export function injectIntoEnvironment(context: SpanContext, env: EnvironmentRecord): void {
  const { traceparent, tracestate } = contextHeaders(context);
  delete env.TRACEPARENT;
  delete env.TRACESTATE;
  if (traceparent) env.TRACEPARENT = traceparent;
  if (tracestate) env.TRACESTATE = tracestate;
}

function extract(traceparent: string, tracestate: string): SpanContext | undefined {
  // A comma means that several fields were joined, here or by the HTTP server.
  return traceparent.includes(",") ? undefined : parseTraceparent(trimOws(traceparent), tracestate);
}

/** Returns all fields of a name as one, joined by commas in order (RFC 9110, section 5.3); empty if there is none. */
function fieldValue(headers: Headers | HeaderRecord, name: string): string {
  if (isHeaders(headers)) return headers.get(name) ?? "";
  return keysOf(headers, name)
    .flatMap((key) => headers[key] ?? [])
    .join(",");
}

/** Checks for a method, not for the class: every fetch implementation, and every realm, has its own `Headers`. */
function isHeaders(headers: Headers | HeaderRecord): headers is Headers {
  return typeof headers.get === "function";
}

function keysOf(record: HeaderRecord, name: string): string[] {
  return Object.keys(record).filter((key) => key.toLowerCase() === name);
}
