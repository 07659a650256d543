/**
 * OpenTelemetry's environment variables that are honoured, and what counts where one is unset or empty, as it would be written;
 * `undefined` where nothing does. Readers take names and defaults from here. What they mean stands in variable-meanings.ts, which
 * only the specification is made of, so that bundles do not hold it.
 */
export const TRACING_VARIABLES = {
  OTEL_SDK_DISABLED: "false",
  OTEL_EXPORTER_OTLP_ENDPOINT: undefined,
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: undefined,
  OTEL_EXPORTER_OTLP_HEADERS: undefined,
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: undefined,
  OTEL_EXPORTER_OTLP_TIMEOUT: "10000",
  OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: undefined,
  OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
  OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: undefined,
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: undefined,
  OTEL_TRACES_EXPORTER: "otlp",
  OTEL_PROPAGATORS: "tracecontext",
  OTEL_SERVICE_NAME: undefined,
  OTEL_RESOURCE_ATTRIBUTES: undefined,
  OTEL_TRACES_SAMPLER: "parentbased_always_on",
  OTEL_TRACES_SAMPLER_ARG: "1",
  OTEL_ATTRIBUTE_COUNT_LIMIT: "128",
  OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: undefined,
  OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: undefined,
  OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: undefined,
  OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: undefined,
  OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: undefined,
  OTEL_SPAN_EVENT_COUNT_LIMIT: "128",
  OTEL_SPAN_LINK_COUNT_LIMIT: "128",
  OTEL_BSP_SCHEDULE_DELAY: "5000",
  OTEL_CAPTURE_CONTENT: "false",
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "false",
} as const satisfies Record<`OTEL_${string}`, string | undefined>;

export type TracingVariable = keyof typeof TRACING_VARIABLES;
