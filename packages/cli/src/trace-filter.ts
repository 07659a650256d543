/** Chooses traces of a list, and spans of a trace. Pure. */
import type { Clocks } from "@valet/shared/answers/clocks";
import type { TraceSummaryView } from "@valet/shared/protocol/session-api";
import type { TraceNode, TraceSpan } from "./trace-tree.ts";

/** What is wanted; without `errors` and `open` everything. */
export interface TraceFilter {
  /** What failed. */
  readonly errors?: boolean | undefined;
  /** What has not ended. With `errors`: either of the two. */
  readonly open?: boolean | undefined;
  /** What began since; epoch ms. */
  readonly sinceMs?: number | undefined;
}

export function isWantedTrace({ errors, openSpans, startedAt }: TraceSummaryView, filter: TraceFilter): boolean {
  return isWanted({ isError: errors > 0, isOpen: openSpans > 0, startMs: Date.parse(startedAt) }, filter);
}

/** @param shiftMs added to the span's times to convert them to the Worker's clock, in ms */
export function isWantedSpan({ isError, endMs, startMs }: TraceSpan, filter: TraceFilter, shiftMs = 0): boolean {
  return isWanted({ isError, isOpen: endMs === undefined, startMs: startMs + shiftMs }, filter);
}

interface Facts {
  readonly isError: boolean;
  readonly isOpen: boolean;
  readonly startMs: number;
}

function isWanted({ isError, isOpen, startMs }: Facts, { errors, open, sinceMs }: TraceFilter): boolean {
  const isOfState = (!errors && !open) || (errors === true && isError) || (open === true && isOpen);
  return isOfState && (sinceMs === undefined || startMs >= sinceMs);
}

/** Of the newest traces, returns the one of what happens now: the newest open one, that of work before that of its sandbox. */
export function traceToFollow(newestFirst: readonly TraceSummaryView[]): TraceSummaryView | undefined {
  const open = newestFirst.filter(({ openSpans }) => openSpans > 0);
  return open.find(({ name }) => !name?.startsWith("valet.sandbox.")) ?? open[0] ?? newestFirst[0];
}

export interface ChosenSpans {
  readonly trees: readonly TraceNode[];
  /** How many wanted spans, with those above them, are left out because of the limit. */
  readonly leftOut: number;
}

/**
 * Returns the trees with the wanted spans only, and those above them.
 * @param limit the most spans, in the order of the trees
 * @param clocks those of the trace: a time to choose by is one of the Worker's
 */
export function chooseSpans(
  trees: readonly TraceNode[],
  filter: TraceFilter,
  limit: number,
  clocks: Pick<Clocks, "shiftUs"> = { shiftUs: () => 0 },
): ChosenSpans {
  const keep = (node: TraceNode): TraceNode[] => {
    const children = node.children.flatMap(keep);
    return children.length > 0 || isWantedSpan(node.span, filter, clocks.shiftUs(node.span.spanId) / 1000)
      ? [{ ...node, children }]
      : [];
  };
  let left = limit;
  let leftOut = 0;
  const take = (node: TraceNode): TraceNode[] => {
    if (left === 0) {
      leftOut += flatten(node).length;
      return [];
    }
    left--;
    return [{ ...node, children: node.children.flatMap(take) }];
  };
  return { trees: trees.flatMap(keep).flatMap(take), leftOut };
}

export function flatten(node: TraceNode): TraceSpan[] {
  return [node.span, ...node.children.flatMap(flatten)];
}

interface WireSpans {
  readonly scopeSpans: readonly { readonly spans: readonly { readonly spanId: string }[] }[];
}

/** Returns the OTLP/JSON of a trace with these spans only. */
export function keepSpans(otlp: { readonly resourceSpans: readonly unknown[] }, ids: ReadonlySet<string>): unknown {
  const kept = (otlp.resourceSpans as readonly WireSpans[]).flatMap((resource) => {
    const scopeSpans = resource.scopeSpans.flatMap((scope) => {
      const spans = scope.spans.filter(({ spanId }) => ids.has(spanId));
      return spans.length === 0 ? [] : [{ ...scope, spans }];
    });
    return scopeSpans.length === 0 ? [] : [{ ...resource, scopeSpans }];
  });
  return { resourceSpans: kept };
}
