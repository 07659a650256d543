import { ROOT_CONTEXT, type Span, SpanKind, trace } from "@opentelemetry/api";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type ReadableSpan, type SpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import type { Disabled } from "../contender.ts";
import { NAMES } from "../names.ts";
import { BATCH, PARENTS, RESOURCE, SCOPE } from "../workload.ts";
import type * as Official from "./official.ts";

const MODULE = "./official.ts?3";
const { contenderOf, parentContexts } = (await import(MODULE)) as typeof Official;

const contexts = {
  rootContext: ROOT_CONTEXT,
  setSpan: trace.setSpan.bind(trace),
  setSpanContext: trace.setSpanContext.bind(trace),
};
const PARENT_CONTEXTS = parentContexts(contexts);

export const official3 = contenderOf(NAMES.official3, {
  ...contexts,
  createTracer(processor: SpanProcessor) {
    const provider = new TracerProvider({ resource: resourceFromAttributes(RESOURCE), spanProcessors: [processor] });
    return provider.getTracer(SCOPE.name, SCOPE.version);
  },
  createBatches: (exporter) => new BatchSpanProcessor({ exporter, maxExportBatchSize: BATCH }),
  serialize: (spans: ReadableSpan[]) => JsonTraceSerializer.serializeRequest(spans) as Uint8Array,
});

export function createDisabledApi(): Disabled {
  const tracer = trace.getTracer(SCOPE.name, SCOPE.version);
  const shared = { kind: SpanKind.CLIENT };
  const wasPassedOn = (span: Span, i: number) => span.spanContext().traceId === PARENTS[i % PARENTS.length]?.traceId;
  return {
    name: NAMES.officialApi,
    run(count) {
      let passedOn = 0;
      for (let i = 0; i < count; i++) {
        const span = tracer.startSpan("chat", { kind: SpanKind.CLIENT }, PARENT_CONTEXTS[i % PARENTS.length]);
        span.setAttribute("streamed", true);
        span.end();
        if (wasPassedOn(span, i)) passedOn++;
      }
      return passedOn;
    },
    runWithSharedOptions(count) {
      let passedOn = 0;
      for (let i = 0; i < count; i++) {
        const span = tracer.startSpan("chat", shared, PARENT_CONTEXTS[i % PARENTS.length]);
        span.setAttribute("streamed", true);
        span.end();
        if (wasPassedOn(span, i)) passedOn++;
      }
      return passedOn;
    },
  };
}
