/** Which traces have to be read for what is in view. Pure. */
import type { KnownTrace } from "./model.ts";
import { timeInView, type View } from "./view.ts";

/** A trace that is smaller than this shows no spans, px. */
const MIN_PX = 2;
/** The most traces that are read for one view: the widest first. */
const MAX_TRACES = 200;

/**
 * Returns the ids of the traces in view that are large enough to show their spans, the widest first.
 * @param alwaysId that of what is selected, if it is known
 */
export function wantedTraces(
  traces: readonly KnownTrace[],
  view: View,
  nowMs: number,
  alwaysId: string | undefined,
): string[] {
  const { startMs, endMs } = timeInView(view);
  const inView = traces.flatMap(({ traceId, summary }) => {
    if (summary === undefined) return [{ traceId, px: Number.POSITIVE_INFINITY }];
    const from = Date.parse(summary.startedAt);
    const to = summary.openSpans > 0 ? Math.max(nowMs, from) : from + summary.duration_ms;
    if (to < startMs || from > endMs) return [];
    const px = view.axis.xOf(to) - view.axis.xOf(from);
    return px >= MIN_PX || summary.openSpans > 0 ? [{ traceId, px }] : [];
  });
  const ids = inView
    .sort((a, b) => b.px - a.px)
    .slice(0, MAX_TRACES)
    .map(({ traceId }) => traceId);
  return alwaysId === undefined ? ids : [alwaysId, ...ids.filter((id) => id !== alwaysId)];
}
