/** Which traces of a session are asked for links to one of them. Pure. */

interface Summary {
  readonly traceId: string;
  readonly startedAt: string;
  readonly duration_ms: number;
  readonly spans: number;
}

const MAX_COUNT = 12;
/** The most spans of such a trace. */
const MAX_SPANS = 5_000;

/** Returns the ids of the traces that are nearest in time, without those that are very large. @param traces the newest ones of the session */
export function neighboursOf(traceId: string, traces: readonly Summary[]): string[] {
  const own = traces.find((trace) => trace.traceId === traceId);
  if (own === undefined) return [];
  const start = Date.parse(own.startedAt);
  const end = start + own.duration_ms;
  const gap = (trace: Summary) => {
    const from = Date.parse(trace.startedAt);
    return Math.max(0, from - end, start - (from + trace.duration_ms));
  };
  return traces
    .filter((trace) => trace.traceId !== traceId && trace.spans <= MAX_SPANS)
    .sort((a, b) => gap(a) - gap(b))
    .slice(0, MAX_COUNT)
    .map((trace) => trace.traceId);
}
