import type { TracingVariable } from "./variables.ts";

/** What each of OpenTelemetry's variables means here, for the specification. */
export const TRACING_VARIABLE_MEANINGS: Record<TracingVariable, string> = {
  OTEL_SDK_DISABLED: "`true`: nothing is recorded, contexts are passed through",
  OTEL_EXPORTER_OTLP_ENDPOINT: "base URL; `v1/traces` is appended. Without it nothing is exported",
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "full URL, beats the base; with a bad one nothing is exported",
  OTEL_EXPORTER_OTLP_HEADERS: "`key=value,…`, percent-encoded",
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: "the same, beats the general one",
  OTEL_EXPORTER_OTLP_TIMEOUT: "ms an attempt; 0: no limit",
  OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "the same, beats the general one",
  OTEL_EXPORTER_OTLP_COMPRESSION: "`gzip` or `none`",
  OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: "the same, beats the general one",
  OTEL_EXPORTER_OTLP_PROTOCOL: "only `http/json` is spoken; others give a warning",
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "the same, beats the general one",
  OTEL_TRACES_EXPORTER:
    "`none`: nothing is exported; without `otlp` in the list nothing is either, and any other name gives a warning",
  OTEL_PROPAGATORS: "only `tracecontext` is spoken; any other but `baggage` gives a warning",
  OTEL_SERVICE_NAME: "the Worker's `service.name`; `valet-worker` unless set",
  OTEL_RESOURCE_ATTRIBUTES:
    "`key=value,…`, percent-encoded; any error discards all of it; the object stamps them on everything that it stores",
  OTEL_TRACES_SAMPLER: "`always_on`, `always_off`, `traceidratio`, or `parentbased_` and one of these",
  OTEL_TRACES_SAMPLER_ARG: "the ratio, 0 to 1",
  OTEL_ATTRIBUTE_COUNT_LIMIT: "attributes of a span, an event, a link",
  OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "attributes of a span, beats the general one",
  OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: "attributes of an event, beats the general one",
  OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: "attributes of a link, beats the general one",
  OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "UTF-16 code units of a text; unlimited unless set",
  OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: "the same, beats the general one",
  OTEL_SPAN_EVENT_COUNT_LIMIT: "events of a span",
  OTEL_SPAN_LINK_COUNT_LIMIT: "links of a span",
  OTEL_BSP_SCHEDULE_DELAY: "ms until fewer spans than a request takes are sent",
  OTEL_CAPTURE_CONTENT: "`true`: telemetry may hold content",
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "the same, where `OTEL_CAPTURE_CONTENT` is not set",
};
