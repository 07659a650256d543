/** The backend of whole systems: it takes what the official schema takes, strictly, and parses spans as the CLI does. */
import { readSpans, type TraceSpan } from "../packages/cli/src/trace-tree.ts";
import { readStrictly } from "../packages/runner/test/strict-otlp.ts";
import { type Answering, type Delivery, OtlpReceiver } from "../packages/shared/test/otlp-receiver.ts";

export class TraceReceiver extends OtlpReceiver {
  readonly #spans: TraceSpan[] = [];
  #read = 0;

  /**
   * Returns every accepted span in order of arrival; repeated spans appear repeatedly.
   * @throws TypeError if a request is not what OTLP/JSON says
   */
  spans(): TraceSpan[] {
    for (; this.#read < this.taken.length; this.#read++) {
      const { text } = this.taken[this.#read] as Delivery;
      readStrictly(text);
      this.#spans.push(...readSpans(JSON.parse(text)));
    }
    return [...this.#spans];
  }

  /** Returns the ids of the spans that have arrived, and of which none was kept. */
  refusedIds(): ReadonlySet<string> {
    const kept = this.spansById();
    const arrived = this.deliveries.flatMap(({ text }) => readSpans(JSON.parse(text)).map(({ spanId }) => spanId));
    return new Set(arrived.filter((id) => !kept.has(id)));
  }

  /** Returns the same spans by id, each once. */
  spansById(): ReadonlyMap<string, TraceSpan> {
    return new Map(this.spans().map((span) => [span.spanId, span]));
  }
}

/** @param answer to requests with spans; accepts all if omitted */
export function startOtlpReceiver(answer?: Answering): Promise<TraceReceiver> {
  return new TraceReceiver(answer).listen();
}
