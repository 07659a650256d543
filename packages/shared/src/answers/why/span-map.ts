/** Values by the ids of spans. Two levels, since joining the ids of each of 50,000 spans to one text takes longer than all else. */
export interface SpanId {
  readonly traceId: string;
  readonly spanId: string;
}

export class SpanMap<V> {
  readonly #traces = new Map<string, Map<string, V>>();

  get({ traceId, spanId }: SpanId): V | undefined {
    return this.#traces.get(traceId)?.get(spanId);
  }

  set({ traceId, spanId }: SpanId, value: V): void {
    const trace = this.#traces.get(traceId);
    if (trace === undefined) this.#traces.set(traceId, new Map([[spanId, value]]));
    else trace.set(spanId, value);
  }

  /** Returns the values: trace by trace, in the order in which they were first set. */
  values(): V[] {
    return [...this.#traces.values()].flatMap((trace) => [...trace.values()]);
  }
}
