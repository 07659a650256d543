import { useQueries, useQuery } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { otlpQuery, spanQuery } from "../api/traces.ts";
import type { Item } from "./item.ts";
import type { Model } from "./model.ts";
import { type OtlpSpan, readOtlp } from "./otlp.ts";

/** Up to here all spans of a trace are read with their attributes; beyond it those that are needed. */
const MAX_WHOLE = 500;
/** The most single spans that are read for what is shown. */
const MAX_SINGLE = 24;
/** How often the attributes of open spans are read again, ms. */
const OPEN_MS = 3_000;

interface Details {
  /** Stays the same as long as its answers do. */
  readonly of: (item: Item) => OtlpSpan | undefined;
  /** Whether the attributes of the selected span could not be read. */
  readonly hasFailed: boolean;
}

/**
 * The attributes of spans.
 * @param shown the items of the rows on the screen
 * @param selected its attributes are always read
 */
export function useDetails(
  sessionId: string,
  model: Model | undefined,
  shown: readonly Item[],
  selected: Item | undefined,
): Details {
  const isSmall = model !== undefined && model.order.length <= MAX_WHOLE;
  const every = model !== undefined && model.openCount > 0 ? OPEN_MS : false;
  const whole = useQuery(otlpQuery(sessionId, model?.traceId ?? "", isSmall, every));
  const ofWhole = useMemo(() => readOtlp(whole.data ?? []), [whole.data]);

  const isCovered = (item: Item) => isSmall && item.traceId === model.traceId && ofWhole.has(item.span.spanId);
  const needed = shown.filter((item) => {
    const isOpenLeaf = item.span.endUs === undefined && item.children.length === 0;
    return (isOpenLeaf || item.span.isSealed) && !isCovered(item);
  });
  const single = selected === undefined || isCovered(selected) ? needed : [selected, ...needed];
  const distinct = [...new Map(single.map((item) => [`${item.traceId}:${item.span.spanId}`, item])).values()];
  const wanted = isSmall && whole.isPending ? [] : distinct.slice(0, MAX_SINGLE);
  const singles = useQueries({
    queries: wanted.map(({ traceId, span }) =>
      spanQuery(sessionId, traceId, span.spanId, span.endUs === undefined ? OPEN_MS : false),
    ),
    combine: (results) => ({ data: results.map(({ data }) => data), hasFailed: results[0]?.isError === true }),
  });
  const { data } = singles;
  const ofSingles = useMemo(() => {
    const found = new Map<string, OtlpSpan>();
    for (const groups of data) for (const [id, span] of readOtlp(groups ?? [])) found.set(id, span);
    return found;
  }, [data]);
  const traceId = model?.traceId;
  const of = useCallback(
    (item: Item) => {
      const { spanId } = item.span;
      return ofSingles.get(spanId) ?? (item.traceId === traceId ? ofWhole.get(spanId) : undefined);
    },
    [ofSingles, ofWhole, traceId],
  );
  const isFirst = selected !== undefined && wanted[0] === selected;
  return { of, hasFailed: isFirst && singles.hasFailed };
}
