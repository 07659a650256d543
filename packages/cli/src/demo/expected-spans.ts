/** The spans that the demo must leave. Pure. */
import type { TraceSpan } from "../trace-tree.ts";

/** An expected trace, named by its operation. */
export interface ExpectedTrace {
  /** The name of the operation's span. */
  readonly operation: string;
  /** The number of such traces. */
  readonly count: number;
  /** Names of the spans that each of these traces holds; `*` at the end of a name matches anything. */
  readonly spans: readonly string[];
}

/** Spans that every turn leaves below its `valet.prompt`. */
export const TURN = [
  "valet.queue.wait",
  "valet.prompt.dispatch",
  "valet.turn",
  "invoke_agent *",
  "chat *",
  "valet.turn.finalize",
];
const BOOT = ["valet.sandbox.create", "valet.runner.bootstrap", "valet.runner.connect", "valet.runner.opencode_start"];

/** The demo's traces: two messages, a hibernation, and a third message that wakes the session. */
export const DEMO_TRACES: readonly ExpectedTrace[] = [
  { operation: "valet.sandbox.spawn", count: 1, spans: [...BOOT, "valet.runner.git_setup"] },
  { operation: "valet.prompt", count: 3, spans: ["POST /api/sessions/:id/messages", ...TURN] },
  { operation: "valet.sandbox.hibernate", count: 1, spans: ["valet.sandbox.snapshot"] },
  { operation: "valet.sandbox.restore", count: 1, spans: BOOT },
];

/** Tool spans that must occur at least once in the demo, since its scenario calls these tools. */
export const DEMO_TOOLS = ["execute_tool read", "execute_tool edit", "execute_tool bash"];

/** Spans that wait for a model, a tool or the network. A duration of 0 means that they were not measured. */
const TIMED = /^(chat |execute_tool |invoke_agent |valet\.sandbox\.|valet\.runner\.|valet\.turn$)/;

/** Returns sentences that say what is missing or wrong; empty when all is as expected. */
export function findFaults(traces: readonly (readonly TraceSpan[])[]): string[] {
  const faults: string[] = [];
  for (const { operation, count, spans } of DEMO_TRACES) {
    const found = traces.filter((trace) => trace.some(({ name }) => name === operation));
    if (found.length !== count) faults.push(`${found.length} traces with ${operation} instead of ${count}`);
    for (const trace of found) {
      for (const missing of missingSpans(trace, spans)) faults.push(`no ${missing} in a trace with ${operation}`);
    }
  }
  const all = traces.flat();
  for (const tool of DEMO_TOOLS) if (!all.some(({ name }) => name === tool)) faults.push(`no ${tool}`);
  for (const { name, endMs } of all) if (endMs === undefined) faults.push(`${name} is still open`);
  for (const { name, startMs, endMs } of all) {
    if (endMs !== undefined && endMs <= startMs && TIMED.test(name)) faults.push(`${name} took no time`);
  }
  for (const { name, isError } of all) if (isError) faults.push(`${name} is an error`);
  return faults;
}

/** Returns the expected names that no span of the trace has; `*` at the end of a name matches anything. */
export function missingSpans(trace: readonly TraceSpan[], expected: readonly string[]): string[] {
  return expected.filter((each) => !trace.some(({ name }) => matches(name, each)));
}

function matches(name: string, expected: string): boolean {
  return expected.endsWith("*") ? name.startsWith(expected.slice(0, -1)) : name === expected;
}
