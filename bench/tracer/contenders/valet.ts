import {
  BatchSpanProcessor,
  encodeTracesAsBytes,
  OtlpExporter,
  type ReadableSpan,
  type Span,
  SpanKind,
  Tracer,
} from "@valet/shared/tracing";
import type { Contender, Disabled, Record } from "../contender.ts";
import { NAMES } from "../names.ts";
import { Sink } from "../sink.ts";
import { BATCH, type Input, PARENTS, RESOURCE, SCOPE } from "../workload.ts";

function record(tracer: Tracer, parents: readonly Span[], inputs: readonly Input[]): void {
  for (const input of inputs) {
    const span = tracer.startSpan("chat", {
      kind: SpanKind.CLIENT,
      parent: parents[input.parent],
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": input.model,
        "session.id": input.session,
        "url.full": input.url,
      },
    });
    span.addEvent("first_token", { "chunk.bytes": input.tokens, "chunk.last": false });
    span.setAttribute("http.response.status_code", input.status);
    span.setAttribute("gen_ai.usage.output_tokens", input.tokens);
    span.setAttribute("cost.usd", input.cost);
    span.setAttribute("streamed", input.streamed);
    span.end();
  }
}

class SinkExporter extends OtlpExporter {
  readonly #sink: Sink;

  constructor(sink: Sink) {
    super({ url: "http://127.0.0.1/v1/traces" });
    this.#sink = sink;
  }

  override async encode(_resource: unknown, spans: readonly ReadableSpan[]) {
    this.#sink.takeAll(spans);
    return { body: new Uint8Array(), gzip: false };
  }

  override async send() {
    return { outcome: "delivered", rejectedSpans: 0, message: "" } as const;
  }
}

function recordWith(tracer: Tracer): Record {
  const parents = PARENTS.map((parent) => tracer.startSpan("caller", { parent }));
  return (inputs) => record(tracer, parents, inputs);
}

function toSink(sink: Sink): Record {
  return recordWith(new Tracer({ scope: SCOPE, processor: { onStart() {}, onEnd: (span) => sink.take(span) } }));
}

/** Records spans in the form in which our exporter receives them. */
export function recordSpans(inputs: readonly Input[]): readonly ReadableSpan[] {
  const ended = new Sink(Number.POSITIVE_INFINITY);
  toSink(ended)(inputs);
  return ended.kept as ReadableSpan[];
}

export const valet: Contender = {
  name: NAMES.valet,
  toSink,
  toBatches(sink) {
    const exporter = new SinkExporter(sink);
    const batches = new BatchSpanProcessor({ exporter, resource: RESOURCE, maxQueuedSpans: BATCH });
    return recordWith(new Tracer({ scope: SCOPE, processor: batches }));
  },
  async encoder(inputs) {
    const spans = recordSpans(inputs);
    return () => encodeTracesAsBytes(RESOURCE, spans);
  },
};

export function createDisabled(): Disabled {
  const tracer = new Tracer({ scope: SCOPE, processor: { onStart() {}, onEnd() {} }, enabled: false });
  const shared = PARENTS.map((parent) => ({ kind: SpanKind.CLIENT, parent }));
  return {
    name: NAMES.valet,
    run(count) {
      let passedOn = 0;
      for (let i = 0; i < count; i++) {
        const parent = PARENTS[i % PARENTS.length];
        const span = tracer.startSpan("chat", { kind: SpanKind.CLIENT, parent });
        span.setAttribute("streamed", true);
        span.end();
        if (span.context === parent) passedOn++;
      }
      return passedOn;
    },
    runWithSharedOptions(count) {
      let passedOn = 0;
      for (let i = 0; i < count; i++) {
        const span = tracer.startSpan("chat", shared[i % shared.length]);
        span.setAttribute("streamed", true);
        span.end();
        if (span.context === PARENTS[i % PARENTS.length]) passedOn++;
      }
      return passedOn;
    },
  };
}
