/** The backend of whole systems: spans that it takes are read as the CLI reads them. */
import { readSpans, type TraceSpan } from "../packages/cli/src/trace-tree.ts";
import { type Answer, type Delivery, OtlpReceiver } from "../packages/shared/test/otlp-receiver.ts";

export class TraceReceiver extends OtlpReceiver {
  readonly #spans: TraceSpan[] = [];
  #read = 0;

  /** Every span that was taken, in order of arrival: one that came twice is there twice. */
  spans(): TraceSpan[] {
    for (; this.#read < this.taken.length; this.#read++) {
      this.#spans.push(...readSpans(JSON.parse((this.taken[this.#read] as Delivery).text)));
    }
    return [...this.#spans];
  }

  /** The same by their ids, each once. */
  spansById(): ReadonlyMap<string, TraceSpan> {
    return new Map(this.spans().map((span) => [span.spanId, span]));
  }
}

/** @param answer to requests with spans; takes them all unless given */
export function startOtlpReceiver(answer?: (delivery: Delivery) => Answer): Promise<TraceReceiver> {
  return new TraceReceiver(answer).listen();
}
