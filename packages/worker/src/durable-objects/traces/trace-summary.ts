/** The summary of a trace for lists: a few values that can be merged over the parts of a trace. Pure. */
import { LATEST_MS } from "@valet/shared/protocol/wire-fields";
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
  /** Set if that span is not the Worker's although others of the trace are. */
  readonly isNameForeign?: true;
  /**
   * When it began and ended by the Worker's clock: by the spans of the Worker, or, where none is known, by those of others and what is
   * known of their clocks, which may be hours off. Lists are in the order of these times.
   */
  readonly startUs: number;
  readonly endUs: number;
  /** Whether no span of the Worker is known. Summaries of earlier versions lack it, and their times are those of all spans. */
  readonly isForeign?: true;
  readonly spans: number;
  readonly errors: number;
}

/** The maximum length of a name in a list, in characters. */
const MAX_NAME_LENGTH = 200;

/**
 * @param isForeign whether the spans are not the Worker's
 * @param aheadUs how far the clock of their process is ahead of the Worker's, as far as that is known
 */
export function summarise(spans: readonly SpanFacts[], isForeign: boolean, aheadUs = 0): TraceSummary[] {
  return mergeSummaries([spans.map((span) => summaryOf(span, isForeign, aheadUs))]);
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

/** Summarizes an open span: a name and a start, but no counts. The others as for {@link summarise}. */
export function summariseOpen(
  span: Pick<SpanFacts, "traceId" | "name" | "startUs" | "level">,
  isForeign: boolean,
  aheadUs = 0,
): TraceSummary {
  return { ...summaryOf({ ...span, endUs: span.startUs, isError: false }, isForeign, aheadUs), spans: 0 };
}

type SummaryFacts = Pick<SpanFacts, "traceId" | "name" | "startUs" | "endUs" | "isError" | "level" | "isAdopted">;

function summaryOf(facts: SummaryFacts, isForeign: boolean, aheadUs: number): TraceSummary {
  const { traceId, name, isError, level, isAdopted } = facts;
  const [startUs, endUs] = [moved(facts.startUs, aheadUs), moved(facts.endUs, aheadUs)];
  const named = { name: head(name, MAX_NAME_LENGTH), nameUs: startUs, nameLevel: level };
  const errors = isError && isAdopted !== true ? 1 : 0;
  return { traceId, ...named, startUs, endUs, ...(isForeign && { isForeign }), spans: 1, errors };
}

/** A hostile process chooses both its clock and its times: what comes of them must remain a time. */
function moved(atUs: number, aheadUs: number): number {
  return aheadUs === 0 ? atUs : Math.min(Math.max(0, atUs - aheadUs), LATEST_MS * 1000);
}

function merge(a: TraceSummary, b: TraceSummary): TraceSummary {
  return {
    traceId: a.traceId,
    ...timesOf(a, b),
    ...nameOf(isAbove(b, a) ? b : a, a.isForeign === true && b.isForeign === true),
    spans: a.spans + b.spans,
    errors: a.errors + b.errors,
  };
}

/** Times of two clocks are not compared: the Worker's count. */
function timesOf(a: TraceSummary, b: TraceSummary): Pick<TraceSummary, "startUs" | "endUs" | "isForeign"> {
  if (a.isForeign !== b.isForeign) {
    const { startUs, endUs } = a.isForeign ? b : a;
    return { startUs, endUs };
  }
  return {
    startUs: Math.min(a.startUs, b.startUs),
    endUs: Math.max(a.endUs, b.endUs),
    ...(a.isForeign && { isForeign: true }),
  };
}

function nameOf(
  summary: TraceSummary,
  isForeign: boolean,
): Pick<TraceSummary, "name" | "nameUs" | "nameLevel" | "isNameForeign"> {
  const { name, nameUs, nameLevel } = summary;
  return {
    ...(name !== undefined && { name }),
    ...(nameUs !== undefined && { nameUs }),
    ...(nameLevel !== undefined && { nameLevel }),
    ...(!isForeign && hasForeignName(summary) && { isNameForeign: true }),
  };
}

/** Returns whether the span that names `b` is closer to the root than the one that names `a`. Of equals the Worker's is. */
function isAbove(b: TraceSummary, a: TraceSummary): boolean {
  if (b.nameUs === undefined || a.nameUs === undefined) return b.nameUs !== undefined;
  const [levelOfB, levelOfA] = [b.nameLevel ?? 1, a.nameLevel ?? 1];
  if (levelOfB !== levelOfA) return levelOfB < levelOfA;
  return hasForeignName(a) === hasForeignName(b) ? b.nameUs < a.nameUs : hasForeignName(a);
}

function hasForeignName({ isForeign, isNameForeign }: TraceSummary): boolean {
  return isForeign === true || isNameForeign === true;
}
