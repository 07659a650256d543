/** What of a trace's spans the lanes show: model calls, tools, waits. Pure. */
import { clocksOf } from "@valet/shared/answers/clocks";
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { Kind } from "../ui/kind.tsx";

/** The runner's work on one dispatch. */
export interface TurnSpan {
  readonly span: SkeletonSpan;
  readonly traceId: string;
}

/** A span that a lane shows. */
export interface Work {
  readonly span: SkeletonSpan;
  readonly traceId: string;
  readonly kind: Kind;
  readonly name: string;
  /** The turn or workflow whose work it is; `undefined` if its ancestors do not lead to one. */
  readonly turn: SkeletonSpan | undefined;
  /** The span over which it is drawn: a wait within a call; `undefined` if it has a place of its own. */
  readonly over: string | undefined;
  /** Whether it is a model call whose cost is a lower bound: by its own usage, or since a failed try of it may have been charged. */
  readonly isCostPartial: boolean;
}

interface TraceWork {
  readonly turns: readonly TurnSpan[];
  readonly work: readonly Work[];
}

const KINDS_BY_NAME: Readonly<Record<string, readonly [kind: Kind, name: string]>> = {
  "valet.retry.wait": ["retry", "wait before a retry"],
  "valet.permission.wait": ["person", "permission"],
  "valet.question.wait": ["person", "question"],
  "valet.agent.prepare": ["sandbox", "agent prepares"],
  "valet.agent.mcp_wait": ["sandbox", "wait for MCP servers"],
  "valet.runner.opencode_wait": ["sandbox", "wait for the agent"],
  "valet.runner.opencode_start": ["sandbox", "agent starts"],
  "valet.agent.unresponsive": ["lost", "agent does not respond"],
};

const CHAT = "chat ";
const TRY = "valet.llm.try";
const TOOL = "execute_tool ";
const STEP = "valet.workflow.step ";

/** Returns the kind and the name that a lane shows; `undefined` for a span that no channel's lane shows. */
function lookOf(spanName: string): readonly [kind: Kind, name: string] | undefined {
  const fixed = Object.hasOwn(KINDS_BY_NAME, spanName) ? KINDS_BY_NAME[spanName] : undefined;
  if (fixed !== undefined) return fixed;
  if (spanName.startsWith(CHAT)) return ["model", spanName.slice(CHAT.length)];
  if (spanName.startsWith(TOOL)) return ["tool", spanName.slice(TOOL.length)];
  return undefined;
}

function isTurn({ name }: SkeletonSpan): boolean {
  return name === "valet.turn" || name === "valet.workflow.execute";
}

const known = new WeakMap<readonly SkeletonSpan[], TraceWork>();

/** Returns what the lanes show of a trace, by the Worker's clock. The same spans give the same answer without work. */
export function traceWork(traceId: string, spans: readonly SkeletonSpan[]): TraceWork {
  const before = known.get(spans);
  if (before !== undefined) return before;
  // Programs of commands choose the names of their spans: their time is that of the command.
  const clocks = clocksOf(spans);
  const own = spans.flatMap((span) => (span.isAdopted === true ? [] : moved(span, clocks.shiftUs(span.spanId))));
  const byId = new Map(own.map((span) => [span.spanId, span]));
  const turnOf = turnFinder(byId);
  const parents = new Set(own.map(({ parentSpanId }) => parentSpanId));
  const withChargedTry = new Set(
    own.flatMap(({ name, isCostPartial, parentSpanId }) => (name === TRY && isCostPartial ? [parentSpanId] : [])),
  );
  const work: Work[] = [];
  for (const span of own) {
    const isCommand = span.name.startsWith(STEP) && !parents.has(span.spanId);
    const look = isCommand ? (["tool", span.name.slice(STEP.length)] as const) : lookOf(span.name);
    // A start that belongs to no turn is part of the sandbox's start, which the lifecycle shows.
    const turn = look === undefined ? undefined : turnOf(span);
    if (look === undefined || (look[0] === "sandbox" && turn === undefined)) continue;
    const [kind, name] = look;
    const isWait = kind === "retry" || kind === "person" || kind === "lost";
    const parent = span.parentSpanId === undefined ? undefined : byId.get(span.parentSpanId);
    const over = isWait && parent !== undefined && lookOf(parent.name) !== undefined ? parent.spanId : undefined;
    const isCostPartial = kind === "model" && (span.isCostPartial === true || withChargedTry.has(span.spanId));
    work.push({ span, traceId, kind, name, turn, over, isCostPartial });
  }
  const result = { turns: own.filter(isTurn).map((span) => ({ span, traceId })), work };
  known.set(spans, result);
  return result;
}

/** Returns a span by the Worker's clock, which the turns and the queue are by. What the session has sealed ended by that clock already. */
function moved(span: SkeletonSpan, byUs: number): SkeletonSpan {
  if (byUs === 0) return span;
  const { startUs, endUs, isSealed } = span;
  const isByWorkers = isSealed && endUs !== undefined && endUs >= Math.max(startUs, startUs + byUs);
  return { ...span, startUs: startUs + byUs, endUs: endUs === undefined || isByWorkers ? endUs : endUs + byUs };
}

/** Returns a function that finds the turn above a span. Cycles and self-links end the search. */
function turnFinder(byId: ReadonlyMap<string, SkeletonSpan>): (span: SkeletonSpan) => SkeletonSpan | undefined {
  const found = new Map<string, SkeletonSpan | undefined>();
  return (span) => {
    const path: string[] = [];
    const seen = new Set<string>();
    let at: SkeletonSpan | undefined = span;
    let turn: SkeletonSpan | undefined;
    while (at !== undefined && !seen.has(at.spanId)) {
      if (isTurn(at)) turn = at;
      else if (found.has(at.spanId)) turn = found.get(at.spanId);
      if (turn !== undefined || found.has(at.spanId)) break;
      seen.add(at.spanId);
      path.push(at.spanId);
      at = at.parentSpanId === undefined ? undefined : byId.get(at.parentSpanId);
    }
    for (const id of path) found.set(id, turn);
    return turn;
  };
}
