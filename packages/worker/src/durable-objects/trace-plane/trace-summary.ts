/** What a list of traces says of each: a handful of figures that can be merged over the parts of a trace. Pure. */
import type { SpanFacts } from "./otlp-request.ts";

export interface TraceSummary {
  readonly traceId: string;
  /** The name of the first span that came from outside; absent while only inner spans have ended. */
  readonly name?: string;
  /** When that span began, microseconds since 1970. */
  readonly nameUs?: number;
  readonly startUs: number;
  readonly endUs: number;
  readonly spans: number;
  readonly errors: number;
}

/** A list needs no more of a name, in characters. */
const MAX_NAME_LENGTH = 200;

export function summarise(spans: readonly SpanFacts[]): TraceSummary[] {
  return mergeSummaries([spans.map(summaryOf)]);
}

/** One summary a trace, in order of appearance. */
export function mergeSummaries(parts: readonly (readonly TraceSummary[])[]): TraceSummary[] {
  const merged = new Map<string, TraceSummary>();
  for (const part of parts) {
    for (const summary of part) {
      const before = merged.get(summary.traceId);
      merged.set(summary.traceId, before === undefined ? summary : merge(before, summary));
    }
  }
  return [...merged.values()];
}

function summaryOf({ traceId, name, startUs, endUs, isError, isEntry }: SpanFacts): TraceSummary {
  const figures = { traceId, startUs, endUs, spans: 1, errors: isError ? 1 : 0 };
  return isEntry ? { ...figures, name: name.slice(0, MAX_NAME_LENGTH), nameUs: startUs } : figures;
}

function merge(a: TraceSummary, b: TraceSummary): TraceSummary {
  const first = (b.nameUs ?? Number.POSITIVE_INFINITY) < (a.nameUs ?? Number.POSITIVE_INFINITY) ? b : a;
  return {
    traceId: a.traceId,
    ...(first.name === undefined ? {} : { name: first.name, nameUs: first.nameUs as number }),
    startUs: Math.min(a.startUs, b.startUs),
    endUs: Math.max(a.endUs, b.endUs),
    spans: a.spans + b.spans,
    errors: a.errors + b.errors,
  };
}
