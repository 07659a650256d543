/**
 * Records with OpenTelemetry's SDK for JavaScript, in any version. Each version loads this file as a separate module,
 * so that one version's loop is not compiled for the objects of another.
 */
import { type Context, type Span, type SpanContext, SpanKind, type Tracer } from "@opentelemetry/api";
import type { Contender, Record } from "../contender.ts";
import { Sink } from "../sink.ts";
import { type Input, PARENTS } from "../workload.ts";

/** Exports batches of ended spans. */
export interface Exporter<S> {
  export(spans: S[], done: (result: { code: number }) => void): void;
  shutdown(): Promise<void>;
}

export interface Processor<S> {
  onStart(): void;
  onEnd(span: S): void;
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** The differences between the versions. `S` is the type of an ended span, `P` of a span processor. */
export interface Sdk<S, P> {
  readonly rootContext: Context;
  setSpan(context: Context, span: Span): Context;
  setSpanContext(context: Context, spanContext: SpanContext): Context;
  createTracer(processor: P | Processor<S>): Tracer;
  createBatches(exporter: Exporter<S>): P;
  serialize(spans: S[]): Uint8Array;
}

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

/** Returns the contexts of callers. */
export function parentContexts({
  rootContext,
  setSpanContext,
}: Pick<Sdk<unknown, unknown>, "rootContext" | "setSpanContext">): Context[] {
  // Its `traceState` is an object, and absent when empty.
  return PARENTS.map(({ traceState: _, ...parent }) => setSpanContext(rootContext, parent));
}

export function contenderOf<S, P>(name: string, sdk: Sdk<S, P>): Contender {
  const callers = parentContexts(sdk);
  const recordWith = (tracer: Tracer): Record => {
    const parents = callers.map((context) => sdk.setSpan(context, tracer.startSpan("caller", {}, context)));
    return (inputs) => record(tracer, parents, inputs);
  };
  const sinkTracer = (sink: Sink) =>
    sdk.createTracer({
      onStart() {},
      onEnd: (span) => sink.take(span),
      forceFlush: async () => {},
      shutdown: async () => {},
    });
  return {
    name,
    toSink: (sink) => recordWith(sinkTracer(sink)),
    toBatches(sink) {
      const exporter: Exporter<S> = {
        export(spans, done) {
          sink.takeAll(spans);
          done({ code: 0 });
        },
        shutdown: async () => {},
      };
      return recordWith(sdk.createTracer(sdk.createBatches(exporter)));
    },
    async encoder(inputs) {
      const ended = new Sink(Number.POSITIVE_INFINITY);
      recordWith(sinkTracer(ended))(inputs);
      const spans = ended.kept as S[];
      return () => sdk.serialize(spans);
    },
  };
}
