import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as HttpBody from "effect/http/HttpBody";
import * as HttpClient from "effect/http/HttpClient";
import * as HttpClientResponse from "effect/http/HttpClientResponse";
import * as Option from "effect/Option";
import { layerFlusher } from "effect/observability/OtlpExporter";
import { layerJson, OtlpSerialization } from "effect/observability/OtlpSerialization";
import * as OtlpTracer from "effect/observability/OtlpTracer";
import * as Scope from "effect/Scope";
import * as Tracer from "effect/Tracer";
import type { Contender, Record } from "../contender.ts";
import { NAMES } from "../names.ts";
import type { Sink } from "../sink.ts";
import { BATCH, type Input, PARENTS, RESOURCE } from "../workload.ts";

const clock = Effect.runSync(Clock.clockWith(Effect.succeed));

/** Calls the tracer as `Effect.makeSpan` does, without the fiber around it; no cheaper way exists. */
function startSpan(tracer: Tracer.Tracer, name: string, parent: Tracer.AnySpan | undefined): Tracer.Span {
  return tracer.span({
    name,
    parent: Option.fromUndefinedOr(parent),
    annotations: Context.empty(),
    links: [],
    startTime: clock.currentTimeNanosUnsafe(),
    kind: "client",
    root: false,
    sampled: true,
  });
}

function record(tracer: Tracer.Tracer, parents: readonly Tracer.Span[], inputs: readonly Input[]): void {
  for (const input of inputs) {
    const span = startSpan(tracer, "chat", parents[input.parent]);
    span.attribute("gen_ai.operation.name", "chat");
    span.attribute("gen_ai.request.model", input.model);
    span.attribute("session.id", input.session);
    span.attribute("url.full", input.url);
    const event = { "chunk.bytes": input.tokens, "chunk.last": false };
    span.event("first_token", clock.currentTimeNanosUnsafe(), event);
    span.attribute("http.response.status_code", input.status);
    span.attribute("gen_ai.usage.output_tokens", input.tokens);
    span.attribute("cost.usd", input.cost);
    span.attribute("streamed", input.streamed);
    span.end(clock.currentTimeNanosUnsafe(), Exit.void);
  }
}

function recordWith(tracer: Tracer.Tracer): Record {
  const parents = PARENTS.map((parent) => startSpan(tracer, "caller", Tracer.externalSpan(parent)));
  return (inputs) => record(tracer, parents, inputs);
}

/** Its own in-memory span, which generates its ids when they are first read, as any real sink does. */
class SinkSpan extends Tracer.NativeSpan {
  readonly #sink: Sink;

  constructor(options: ConstructorParameters<typeof Tracer.NativeSpan>[0], sink: Sink) {
    super(options);
    this.#sink = sink;
  }

  override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    super.end(endTime, exit);
    if (this.traceId !== this.spanId) this.#sink.take(this);
  }
}

/** Its OTLP tracer, which builds a span's OTLP object when the span ends, and serializes a batch when it sends. */
function createOtlpTracer(scope: Scope.Scope, onBatch: (data: OtlpTracer.TraceData) => void): Promise<Tracer.Tracer> {
  const serialization = {
    traces(data: OtlpTracer.TraceData) {
      onBatch(data);
      return HttpBody.empty;
    },
    metrics: () => HttpBody.empty,
    logs: () => HttpBody.empty,
  };
  const client = HttpClient.make((request) =>
    Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))),
  );
  const resource = { serviceName: RESOURCE["service.name"], serviceVersion: RESOURCE["service.version"] };
  const make = OtlpTracer.make({ url: "http://127.0.0.1/v1/traces", resource, maxBatchSize: BATCH }).pipe(
    Effect.provideService(OtlpSerialization, serialization),
    Effect.provideService(HttpClient.HttpClient, client),
    Effect.provideService(Scope.Scope, scope),
    Effect.provide(layerFlusher),
  );
  return Effect.runPromise(make);
}

export const effect: Contender = {
  name: NAMES.effect,
  toSink(sink) {
    return recordWith(Tracer.make({ span: (options) => new SinkSpan(options, sink) }));
  },
  async toBatches(sink): Promise<Record> {
    const tracer = await createOtlpTracer(Scope.makeUnsafe(), (data) => {
      for (const { scopeSpans } of data.resourceSpans) for (const { spans } of scopeSpans) sink.takeAll(spans);
    });
    return recordWith(tracer);
  },
  async encoder(inputs) {
    const { promise, resolve } = Promise.withResolvers<OtlpTracer.TraceData>();
    const scope = Scope.makeUnsafe();
    recordWith(await createOtlpTracer(scope, resolve))(inputs);
    const data = await promise;
    await Effect.runPromise(Scope.close(scope, Exit.void));
    const { traces } = Effect.runSync(OtlpSerialization.pipe(Effect.provide(layerJson)));
    return () => {
      const body = traces(data);
      if (body._tag !== "Uint8Array") throw new Error(`effect encodes to ${body._tag}`);
      return body.body;
    };
  },
};
