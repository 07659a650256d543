import type { TraceSpan } from "../../packages/cli/src/trace-tree.ts";

const OPERATION = /^valet\.(prompt|sandbox\.(spawn|restore|hibernate|terminate))$/;
/** Work that a request or a dispatch triggers without waiting for it. */
const HANDED_OVER = /^valet\.(prompt|workflow|turn|workflow\.execute|runner\.agent_warm_up)$/;
/** The clocks of one machine's processes agree to the millisecond; some have no fractions. */
const CLOCK_MS = 5;
const WITHOUT_OUTCOME = /^([A-Z]+ |[A-Z]+$|valet\.trace_plane\.dropped$)/;

/**
 * Returns what is wrong with the spans of finished sessions. Duplicates are allowed, since delivery is at least once.
 * @param messageIds the ids of all accepted messages
 */
export function faultsIn(delivered: readonly TraceSpan[], messageIds: readonly string[]): string[] {
  const known = new Map(delivered.map((span) => [span.spanId, span]));
  const spans = [...known.values()];
  const faults: string[] = [];
  for (const span of spans) {
    const { name, parentSpanId, endMs, attributes, traceId } = span;
    const says = (what: string) => faults.push(`${name} in ${traceId}: ${what}`);
    if (endMs === undefined) says("open");
    const outcome = attributes["valet.outcome"];
    const why = attributes["error.type"] ?? attributes["valet.outcome.reason"];
    if (outcome === undefined && !WITHOUT_OUTCOME.test(name)) says("no outcome");
    if (outcome !== undefined && outcome !== "ok" && why === undefined) says("no reason");
    // The request's own span is delivered after its answer, so it is lost when the Worker is killed before.
    const mayLack = name === "valet.prompt";
    const parent = known.get(parentSpanId ?? "");
    if (parentSpanId !== undefined && parent === undefined && !mayLack) says("no parent");
    if (parent !== undefined && !liesIn(span, parent)) says(`not in the time of ${parent.name}`);
  }
  const prompts = Map.groupBy(
    spans.filter(({ name }) => name === "valet.prompt"),
    ({ attributes }) => attributes["valet.message.id"],
  );
  for (const id of messageIds) {
    const count = prompts.get(id)?.length ?? 0;
    if (count !== 1) faults.push(`message ${id}: ${count} spans valet.prompt`);
  }
  const traces = Map.groupBy(spans, ({ traceId }) => traceId);
  for (const [traceId, trace] of traces) {
    const operations = trace.filter(({ name }) => OPERATION.test(name));
    if (operations.length > 1) faults.push(`${traceId}: ${operations.map(({ name }) => name).join(", ")} in one trace`);
  }
  return faults;
}

/** Returns whether a span starts before its parent ends, and ends within it unless it was handed over. */
function liesIn({ name, startMs, endMs }: TraceSpan, parent: TraceSpan): boolean {
  const parentEndMs = (parent.endMs ?? Number.POSITIVE_INFINITY) + CLOCK_MS;
  // The other side completes work that the caller gave up, in its own time.
  const wasGivenUp =
    parent.attributes["valet.outcome"] !== "ok" && /^[A-Z]+ |^valet\.(turn|workflow\.execute)$/.test(name);
  if (wasGivenUp) return true;
  const begins = startMs >= parent.startMs - CLOCK_MS && startMs <= parentEndMs;
  return begins && (HANDED_OVER.test(name) || endMs === undefined || endMs <= parentEndMs);
}
