/** The summary of a trace for lists: a few values that can be merged over the parts of a trace. Pure. */
import { head } from "@valet/shared/text";
import type { SpanFacts, SpanLevel } from "./otlp-request.ts";

export interface TraceSummary {
  readonly traceId: string;
  /**
   * The name of the topmost known span: the one of the highest {@link TraceSummary.nameLevel level} that began first.
   */
  readonly name?: string;
  /** When that span began, microseconds since 1970. */
  readonly nameUs?: number;
  /** That span's level, as in `SpanFacts`. Summaries of earlier versions lack it, which counts as 1. */
  readonly nameLevel?: SpanLevel;
  readonly startUs: number;
  readonly endUs: number;
  readonly spans: number;
  readonly errors: number;
}

/** The maximum length of a name in a list, in characters. */
const MAX_NAME_LENGTH = 200;

export function summarise(spans: readonly SpanFacts[]): TraceSummary[] {
  return mergeSummaries([spans.map(summaryOf)]);
}

/** Merges summaries into one per trace, in order of appearance. */
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

/** Summarizes an open span: a name and a start, but no counts. */
export function summariseOpen(span: Pick<SpanFacts, "traceId" | "name" | "startUs" | "level">): TraceSummary {
  return { ...summaryOf({ ...span, endUs: span.startUs, isError: false }), spans: 0 };
}

type SummaryFacts = Pick<SpanFacts, "traceId" | "name" | "startUs" | "endUs" | "isError" | "level" | "isAdopted">;

function summaryOf({ traceId, name, startUs, endUs, isError, level, isAdopted }: SummaryFacts): TraceSummary {
  const named = { name: head(name, MAX_NAME_LENGTH), nameUs: startUs, nameLevel: level };
  return { traceId, ...named, startUs, endUs, spans: 1, errors: isError && isAdopted !== true ? 1 : 0 };
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

/** Returns whether the span that names `b` is closer to the root than the one that names `a`. */
function isAbove(b: TraceSummary, a: TraceSummary): boolean {
  if (b.nameUs === undefined || a.nameUs === undefined) return b.nameUs !== undefined;
  const [levelOfB, levelOfA] = [b.nameLevel ?? 1, a.nameLevel ?? 1];
  return levelOfB === levelOfA ? b.nameUs < a.nameUs : levelOfB < levelOfA;
}
