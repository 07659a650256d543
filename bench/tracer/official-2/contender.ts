import { ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type * as Official from "../contenders/official.ts";
import { NAMES } from "../names.ts";
import { BATCH, RESOURCE, SCOPE } from "../workload.ts";

const MODULE = "../contenders/official.ts?2";
const { contenderOf } = (await import(MODULE)) as typeof Official;

export const official2 = contenderOf(NAMES.official2, {
  rootContext: ROOT_CONTEXT,
  setSpan: trace.setSpan.bind(trace),
  setSpanContext: trace.setSpanContext.bind(trace),
  createTracer(processor: SpanProcessor) {
    const provider = new BasicTracerProvider({
      resource: resourceFromAttributes(RESOURCE),
      spanProcessors: [processor],
    });
    return provider.getTracer(SCOPE.name, SCOPE.version);
  },
  createBatches: (exporter) => new BatchSpanProcessor(exporter, { maxExportBatchSize: BATCH }),
  serialize: (spans: ReadableSpan[]) => JsonTraceSerializer.serializeRequest(spans) as Uint8Array,
});
