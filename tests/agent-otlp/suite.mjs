// A test suite that is instrumented with OpenTelemetry's own SDK, as users' programs are. With HONOURS_CONTEXT=1 it continues the
// trace of TRACEPARENT. It sends its spans where the environment says.
import { strictEqual } from "node:assert";
import { after, test } from "node:test";
import { ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

const { HONOURS_CONTEXT, OTEL_EXPORTER_OTLP_ENDPOINT, TRACEPARENT = "" } = process.env;
const spanProcessors =
  OTEL_EXPORTER_OTLP_ENDPOINT === undefined ? [] : [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })];
const provider = new TracerProvider({ resource: resourceFromAttributes({ "service.name": "suite" }), spanProcessors });
const tracer = provider.getTracer("node suite", "1.0.0");
const [, traceId, spanId, flags] = TRACEPARENT.split("-");
const parent =
  HONOURS_CONTEXT === "1"
    ? trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number(`0x${flags}`), isRemote: true })
    : ROOT_CONTEXT;
const suite = tracer.startSpan("node suite", {}, parent);

for (const name of ["adds", "fails"]) {
  test(name, () => {
    const span = tracer.startSpan(`node test ${name}`, {}, trace.setSpan(parent, suite));
    try {
      strictEqual(1 + 1, name === "adds" ? 2 : 3);
    } finally {
      span.end();
    }
  });
}

after(async () => {
  suite.end();
  await provider.shutdown();
});
