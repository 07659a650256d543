/** What a list of traces says of each: a handful of figures that can be merged over the parts of a trace. Pure. */
import { head } from "@valet/shared/text";
import type { SpanFacts, SpanLevel } from "./otlp-request.ts";

export interface TraceSummary {
  readonly traceId: string;
  /** Of the topmost span that is known: of the highest {@link TraceSummary.nameLevel level}, and of those the first to begin. */
  readonly name?: string;
  /** When that span began, microseconds since 1970. */
  readonly nameUs?: number;
  /** How near to the root that span is, as `SpanFacts` says it. Absent, and so 1, in summaries of earlier versions. */
  readonly nameLevel?: SpanLevel;
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

/** What a span that is open says of its trace: a name and a beginning, and nothing to be counted. */
export function summariseOpen(span: Omit<SpanFacts, "endUs" | "isError">): TraceSummary {
  return { ...summaryOf({ ...span, endUs: span.startUs, isError: false }), spans: 0 };
}

function summaryOf({ traceId, name, startUs, endUs, isError, level }: SpanFacts): TraceSummary {
  const named = { name: head(name, MAX_NAME_LENGTH), nameUs: startUs, nameLevel: level };
  return { traceId, ...named, startUs, endUs, spans: 1, errors: isError ? 1 : 0 };
}

function merge(a: TraceSummary, b: TraceSummary): TraceSummary {
  return {
    traceId: a.traceId,
    ...nameOf(isAbove(b, a) ? b : a),
    startUs: Math.min(a.startUs, b.startUs),
    endUs: Math.max(a.endUs, b.endUs),
    spans: a.spans + b.spans,
    errors: a.errors + b.errors,
  };
}

function nameOf({ name, nameUs, nameLevel }: TraceSummary): Pick<TraceSummary, "name" | "nameUs" | "nameLevel"> {
  return {
    ...(name !== undefined && { name }),
    ...(nameUs !== undefined && { nameUs }),
    ...(nameLevel !== undefined && { nameLevel }),
  };
}

/** Whether the span that names `b` is nearer to the root than the one that names `a`. */
function isAbove(b: TraceSummary, a: TraceSummary): boolean {
  if (b.nameUs === undefined || a.nameUs === undefined) return b.nameUs !== undefined;
  const [levelOfB, levelOfA] = [b.nameLevel ?? 1, a.nameLevel ?? 1];
  return levelOfB === levelOfA ? b.nameUs < a.nameUs : levelOfB < levelOfA;
}
