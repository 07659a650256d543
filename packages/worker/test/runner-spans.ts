/** Spans of a runner, which a test sends to a session. */
import {
  encodeTraces,
  extractFromHeaders,
  type ReadableSpan,
  type Span,
  type SpanContext,
  Tracer,
} from "@valet/shared/tracing";
import { expect } from "vitest";
import { eventually } from "./eventually.ts";
import type { FakeRunner } from "./fake-runner.ts";
import type { TestSession } from "./session.ts";

/** Makes the spans of a runner in a session. */
export class RunnerSpans {
  readonly #session: TestSession;
  readonly #ended: ReadableSpan[] = [];
  readonly #tracer = new Tracer({
    scope: { name: "test" },
    processor: { onStart: () => {}, onEnd: (span) => this.#ended.push(span) },
  });
  #seq = 0;

  constructor(session: TestSession) {
    this.#session = session;
  }

  /** Times are epoch ms. */
  add(name: string, parent: SpanContext | undefined, startMs: number, endMs: number, more = {}): SpanContext {
    const span = this.open(name, parent, startMs, more);
    span.end(endMs);
    return span.context;
  }

  /** Begins a span, which is sent once it has ended. @param startMs epoch ms */
  open(name: string, parent: SpanContext | undefined, startMs: number, more = {}): Span {
    const attributes = { "valet.session.id": this.#session.id, "valet.outcome": "ok", ...more };
    return this.#tracer.startSpan(name, { parent, startTime: startMs, attributes });
  }

  /** Begins the turn on a dispatch. */
  turn({ traceparent = "" }: { traceparent?: string | undefined }, startMs: number, endMs: number): SpanContext {
    return this.add("valet.turn", extractFromHeaders({ traceparent }), startMs, endMs);
  }

  /** Sends all that were added, in frames of 200. */
  async sendTo(runner: FakeRunner): Promise<void> {
    while (this.#ended.length > 0) {
      const otlp = encodeTraces({ "service.name": "valet-runner" }, this.#ended.splice(0, 200));
      runner.send({ type: "spans", instanceId: runner.instanceId, seq: ++this.#seq, otlp });
    }
    await eventually(() => {
      const acked = runner.heard.flatMap((frame) => (frame.type === "spans-ack" ? [frame.seq] : []));
      expect(Math.max(0, ...acked)).toBe(this.#seq);
    });
  }
}
