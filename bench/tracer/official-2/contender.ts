import { type Context, ROOT_CONTEXT, SpanKind, type Tracer, trace } from "@opentelemetry/api";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { Contender, Record } from "../contender.ts";
import { NAMES } from "../names.ts";
import { Sink } from "../sink.ts";
import { BATCH, type Input, PARENTS, RESOURCE, SCOPE } from "../workload.ts";

// Its `traceState` is an object, absent where there is none.
const PARENT_CONTEXTS = PARENTS.map(({ traceState: _, ...parent }) => trace.setSpanContext(ROOT_CONTEXT, parent));

function record(tracer: Tracer, parents: readonly Context[], inputs: readonly Input[]): void {
  for (const input of inputs) {
    const span = tracer.startSpan(
      "chat",
      {
        kind: SpanKind.CLIENT,
        attributes: {
          "gen_ai.operation.name": "chat",
          "gen_ai.request.model": input.model,
          "session.id": input.session,
          "url.full": input.url,
        },
      },
      parents[input.parent],
    );
    span.addEvent("first_token", { "chunk.bytes": input.tokens, "chunk.last": false });
    span.setAttribute("http.response.status_code", input.status);
    span.setAttribute("gen_ai.usage.output_tokens", input.tokens);
    span.setAttribute("cost.usd", input.cost);
    span.setAttribute("streamed", input.streamed);
    span.end();
  }
}

function recordWith(tracer: Tracer): Record {
  const parents = PARENT_CONTEXTS.map((context) => trace.setSpan(context, tracer.startSpan("caller", {}, context)));
  return (inputs) => record(tracer, parents, inputs);
}

function createTracer(processor: SpanProcessor): Tracer {
  const provider = new BasicTracerProvider({ resource: resourceFromAttributes(RESOURCE), spanProcessors: [processor] });
  return provider.getTracer(SCOPE.name, SCOPE.version);
}

function sinkTracer(sink: Sink): Tracer {
  return createTracer({
    onStart() {},
    onEnd: (span) => sink.take(span),
    forceFlush: async () => {},
    shutdown: async () => {},
  });
}

export const official2: Contender = {
  name: NAMES.official2,
  toSink(sink) {
    return recordWith(sinkTracer(sink));
  },
  toBatches(sink) {
    const exporter = {
      export(spans: ReadableSpan[], done: (result: { code: number }) => void) {
        sink.takeAll(spans);
        done({ code: 0 });
      },
      shutdown: async () => {},
    };
    return recordWith(createTracer(new BatchSpanProcessor(exporter, { maxExportBatchSize: BATCH })));
  },
  async encoder(inputs) {
    const ended = new Sink(Number.POSITIVE_INFINITY);
    recordWith(sinkTracer(ended))(inputs);
    const spans = ended.kept as ReadableSpan[];
    return () => JsonTraceSerializer.serializeRequest(spans) as Uint8Array;
  },
};
