export type { SendResult } from "./answer.ts";
export type { AttributeList, Attributes, AttributeValue, Redact } from "./attributes.ts";
export { attributesToObject } from "./attributes.ts";
export type { BatchOptions } from "./batch.ts";
export { BatchSpanProcessor } from "./batch.ts";
export type { SpanContext } from "./context.ts";
export {
  formatTraceparent,
  INVALID_CONTEXT,
  isSampled,
  isValidContext,
  parseTraceparent,
  TraceFlags,
} from "./context.ts";
export type { Diagnostic, DropReason, OnDiagnostic } from "./diagnostics.ts";
export type { TracingConfig } from "./env.ts";
export { limitVariables, readTracingConfig } from "./env.ts";
export { exceptionType } from "./exception.ts";
export type { ExportFailure } from "./export-hint.ts";
export { exportHint, hostOf } from "./export-hint.ts";
export type { EncodedBatch, ExporterOptions } from "./exporter.ts";
export { OtlpExporter } from "./exporter.ts";
export type { IdGenerator } from "./ids.ts";
export { createRandomIds, isValidSpanId, isValidTraceId } from "./ids.ts";
export type { SpanLimits } from "./limits.ts";
export { DEFAULT_LIMITS } from "./limits.ts";
export { parseOpenSpan, serialiseSpan, withAttributes } from "./open-span.ts";
export type { Resource } from "./otlp.ts";
export { encodeResource, encodeScope, encodeSpan, encodeTraces, encodeTracesAsBytes } from "./otlp.ts";
export type { EnvironmentRecord, HeaderRecord } from "./propagation.ts";
export {
  contextHeaders,
  extractFromEnvironment,
  extractFromHeaders,
  injectIntoEnvironment,
  injectIntoHeaders,
} from "./propagation.ts";
export type { OpenSpan, ReadableSpan, Scope, SpanEvent, SpanLink } from "./readable-span.ts";
export { SpanKind, StatusCode } from "./readable-span.ts";
export { redactAlso, redactSecrets } from "./redact.ts";
export { backoffMs, isHeldStatus, isRetryableStatus, MAX_ATTEMPTS, parseRetryAfter } from "./retry.ts";
export type { Sampler, SamplingDecision, SamplingResult } from "./sampler.ts";
export { alwaysOff, alwaysOn, parentBased, recordDropped, traceIdRatio } from "./sampler.ts";
export type { LinkInput, Span } from "./span.ts";
export type { SpanProcessor } from "./span-processor.ts";
export type { AnchoredClock, Clock, EpochTime, TimeInput } from "./time.ts";
export {
  compareTimes,
  createAnchoredClock,
  formatNanos,
  millisBetween,
  strictlyIncreasing,
  toEpochTime,
  wallClock,
} from "./time.ts";
export type { AnySpan, Parent, SpanShape, StartOptions, TracerOptions } from "./tracer.ts";
export { Tracer } from "./tracer.ts";
export { getTracestate, parseTracestate, setTracestate } from "./tracestate.ts";
