export interface TracingVariableDefinition {
  /** As it would be written. Absent where nothing stands in for it. */
  readonly default?: string;
  readonly meaning: string;
}

/**
 * OpenTelemetry's environment variables that are honoured: what counts where one is unset or empty, and what it means. What reads
 * them takes names and defaults from here, and the specification's table is made from it.
 */
export const TRACING_VARIABLES = {
  OTEL_SDK_DISABLED: { default: "false", meaning: "`true`: nothing is recorded, contexts are passed through" },
  OTEL_EXPORTER_OTLP_ENDPOINT: { meaning: "base URL; `v1/traces` is appended. Without it nothing is exported" },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: { meaning: "full URL, beats the base; with a bad one nothing is exported" },
  OTEL_EXPORTER_OTLP_HEADERS: { meaning: "`key=value,…`, percent-encoded" },
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: { meaning: "the same, beats the general one" },
  OTEL_EXPORTER_OTLP_TIMEOUT: { default: "10000", meaning: "ms an attempt; 0: no limit" },
  OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: { meaning: "the same, beats the general one" },
  OTEL_EXPORTER_OTLP_COMPRESSION: { default: "gzip", meaning: "`gzip` or `none`" },
  OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: { meaning: "the same, beats the general one" },
  OTEL_EXPORTER_OTLP_PROTOCOL: { default: "http/json", meaning: "only `http/json` is spoken; others give a warning" },
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: { meaning: "the same, beats the general one" },
  OTEL_TRACES_EXPORTER: {
    default: "otlp",
    meaning:
      "`none`: nothing is exported; without `otlp` in the list nothing is either, and any other name gives a warning",
  },
  OTEL_PROPAGATORS: {
    default: "tracecontext",
    meaning: "only `tracecontext` is spoken; any other but `baggage` gives a warning",
  },
  OTEL_SERVICE_NAME: { meaning: "the Worker's `service.name`; `valet-worker` unless set" },
  OTEL_RESOURCE_ATTRIBUTES: {
    meaning:
      "`key=value,…`, percent-encoded; any error discards all of it; the object stamps them on everything that it stores",
  },
  OTEL_TRACES_SAMPLER: {
    default: "parentbased_always_on",
    meaning: "`always_on`, `always_off`, `traceidratio`, or `parentbased_` and one of these",
  },
  OTEL_TRACES_SAMPLER_ARG: { default: "1", meaning: "the ratio, 0 to 1" },
  OTEL_ATTRIBUTE_COUNT_LIMIT: { default: "128", meaning: "attributes of a span, an event, a link" },
  OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: { meaning: "attributes of a span, beats the general one" },
  OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: { meaning: "attributes of an event, beats the general one" },
  OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: { meaning: "attributes of a link, beats the general one" },
  OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: { meaning: "UTF-16 code units of a text; unlimited unless set" },
  OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: { meaning: "the same, beats the general one" },
  OTEL_SPAN_EVENT_COUNT_LIMIT: { default: "128", meaning: "events of a span" },
  OTEL_SPAN_LINK_COUNT_LIMIT: { default: "128", meaning: "links of a span" },
  OTEL_BSP_SCHEDULE_DELAY: { default: "5000", meaning: "ms until fewer spans than a request takes are sent" },
  OTEL_CAPTURE_CONTENT: { default: "false", meaning: "`true`: telemetry may hold content" },
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: {
    default: "false",
    meaning: "the same, where `OTEL_CAPTURE_CONTENT` is not set",
  },
} as const satisfies Record<`OTEL_${string}`, TracingVariableDefinition>;

export type TracingVariable = keyof typeof TRACING_VARIABLES;
