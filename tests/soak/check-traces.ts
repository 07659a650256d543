import type { TraceSpan } from "../../packages/cli/src/trace-tree.ts";

const OPERATION = /^valet\.(prompt|sandbox\.(spawn|restore|hibernate|terminate))$/;
const WITHOUT_OUTCOME = /^([A-Z]+ |[A-Z]+$|valet\.trace_plane\.dropped$)/;

/**
 * What is wrong with the spans of sessions that are over. A span may have come twice: delivery is at least once.
 * @param messageIds of every message that was accepted
 */
export function faultsIn(delivered: readonly TraceSpan[], messageIds: readonly string[]): string[] {
  const spans = [...new Map(delivered.map((span) => [span.spanId, span])).values()];
  const known = new Set(spans.map(({ spanId }) => spanId));
  const faults: string[] = [];
  for (const { name, parentSpanId, endMs, attributes, traceId } of spans) {
    const says = (what: string) => faults.push(`${name} in ${traceId}: ${what}`);
    if (endMs === undefined) says("open");
    const outcome = attributes["valet.outcome"];
    const why = attributes["error.type"] ?? attributes["valet.outcome.reason"];
    if (outcome === undefined && !WITHOUT_OUTCOME.test(name)) says("no outcome");
    if (outcome !== undefined && outcome !== "ok" && why === undefined) says("no reason");
    // The request's own span is handed over when it has been answered: a Worker that is killed before takes it along.
    const mayLack = name === "valet.prompt";
    if (parentSpanId !== undefined && !known.has(parentSpanId) && !mayLack) says("no parent");
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
