/** Which kind of work a span is, by its name. Pure. */
import type { Kind } from "../ui/kind.tsx";

const EXACT: Readonly<Record<string, Kind>> = {
  "valet.queue.wait": "queue",
  "valet.capacity.wait": "queue",
  "valet.permission.wait": "person",
  "valet.question.wait": "person",
  "valet.retry.wait": "retry",
  "valet.llm.try": "model",
  "valet.compaction": "model",
  "valet.session.terminate": "sandbox",
  "valet.session.delete": "sandbox",
};
const BEGINNINGS: readonly (readonly [beginning: string, kind: Kind])[] = [
  ["chat ", "model"],
  ["execute_tool ", "tool"],
  ["valet.sandbox.", "sandbox"],
  ["valet.runner.", "sandbox"],
  ["valet.git.", "sandbox"],
  ["valet.broker.", "sandbox"],
  ["valet.agent.mcp_", "sandbox"],
];

/** A trace has few different names; of those that a sandbox makes up, no more are kept. */
const MAX_KNOWN = 2_000;
const known = new Map<string, Kind>();

/** Returns the kind of a span; `other` for one that only holds others together, and for unknown names. */
export function kindOf(name: string): Kind {
  const before = known.get(name);
  if (before !== undefined) return before;
  const kind = find(name);
  if (known.size < MAX_KNOWN) known.set(name, kind);
  return kind;
}

function find(name: string): Kind {
  const exact = Object.hasOwn(EXACT, name) ? EXACT[name] : undefined;
  return exact ?? BEGINNINGS.find(([beginning]) => name.startsWith(beginning))?.[1] ?? "other";
}
