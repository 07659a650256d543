/** Reads model calls from `chat` spans. What a span does not say, or says impossibly, is `null`. Pure. */
import { isAmount } from "../../protocol/amounts.ts";
import { isChargedTry, isHalfKnown, mayHaveCost } from "../../protocol/cost.ts";
import type { SpanIndex } from "./span-index.ts";
import type { WhySpan } from "./spans.ts";

/** Prices in USD for a token. */
export interface TokenPrices {
  readonly input: number | null;
  readonly cacheRead: number | null;
  readonly cacheWrite: number | null;
}

export interface ModelCall {
  readonly span: WhySpan;
  readonly model: string;
  readonly provider: string | null;
  readonly agent: string | null;
  readonly isSubAgent: boolean;
  /** The agent's session: its calls send one growing history. */
  readonly conversation: string | null;
  /** The agent's message, which the call's tool calls share. */
  readonly step: string | null;
  /** Whether the call summarizes the history. */
  readonly isCompaction: boolean;
  /** US dollars: of the usage that is known. */
  readonly costUsd: number | null;
  /** Whether `costUsd` is the whole cost. */
  readonly isCostKnown: boolean;
  readonly mayBeCharged: boolean;
  /** Failed tries that may have been charged; their cost is never known. */
  readonly chargedTries: readonly WhySpan[];
  readonly tokens: {
    /** Including what was read from and written to the cache. */
    readonly input: number | null;
    readonly output: number | null;
    readonly cacheRead: number | null;
    readonly cacheWrite: number | null;
  };
  readonly prices: TokenPrices;
}

/** Returns all model calls, in order of their start. */
export function modelCalls(index: SpanIndex): ModelCall[] {
  const surroundings = new Map<WhySpan | undefined, Surroundings>();
  return index.spans
    .filter(({ name }) => name.startsWith("chat "))
    .map((span) => {
      // An agent calls its model a thousand times.
      const parent = index.parent(span);
      const known = surroundings.get(parent) ?? surroundingsOf(index, span);
      surroundings.set(parent, known);
      return readCall(index, span, known);
    });
}

/** What is around the calls of one parent. */
interface Surroundings {
  readonly agent: string | null;
  readonly isSubAgent: boolean;
  readonly isCompaction: boolean;
}

function surroundingsOf(index: SpanIndex, call: WhySpan): Surroundings {
  const ancestors = index.ancestors(call);
  const run = ancestors.find(({ name }) => name.startsWith("invoke_agent "));
  return {
    agent: run === undefined ? null : textOf(run, "gen_ai.agent.name"),
    isSubAgent: run !== undefined && index.parent(run)?.name.startsWith("execute_tool ") === true,
    isCompaction: ancestors.some(({ name }) => name === "valet.compaction"),
  };
}

function readCall(index: SpanIndex, span: WhySpan, { agent, isSubAgent, isCompaction }: Surroundings): ModelCall {
  const { name, endMs } = span;
  const text = (key: string) => textOf(span, key);
  const amount = (key: string) => amountOf(span, key);
  const price = (key: string) => {
    const perMillion = amount(`valet.llm.price.${key}`);
    return perMillion === null ? null : perMillion / 1e6;
  };
  const tokens = {
    input: amount("gen_ai.usage.input_tokens"),
    output: amount("gen_ai.usage.output_tokens"),
    cacheRead: amount("gen_ai.usage.cache_read.input_tokens"),
    cacheWrite: amount("gen_ai.usage.cache_write.input_tokens"),
  };
  const costUsd = amount("valet.llm.cost_usd");
  const children = index.children(span);
  const chargedTries = children.filter((child) => child.endMs !== null && isChargedTry(child));
  return {
    span,
    model: text("gen_ai.request.model") ?? name.slice("chat ".length),
    provider: text("gen_ai.provider.name"),
    agent: text("gen_ai.agent.name") ?? agent,
    isSubAgent,
    conversation: text("valet.opencode.session.id"),
    step: text("valet.opencode.message.id"),
    isCompaction,
    costUsd,
    isCostKnown: costUsd !== null && !isHalfKnown((key) => span.attributes[key]) && chargedTries.length === 0,
    mayBeCharged: endMs === null || chargedTries.length > 0 || (!children.some(wasGivenUp) && mayHaveCost(span)),
    chargedTries,
    tokens,
    prices: { input: price("input"), cacheRead: price("cache_read"), cacheWrite: price("cache_write") },
  };
}

/**
 * Returns whether it is a wait for the next try in which the call was ended: no request was open then, so only the tries before it may
 * have been charged. When a `lost` one ended is not known: the next try may have begun.
 */
function wasGivenUp({ name, endMs, outcome }: WhySpan): boolean {
  return name === "valet.retry.wait" && endMs !== null && outcome !== "ok" && outcome !== "lost";
}

/** Returns a text attribute of a span; `null` if it has none. */
export function textOf({ attributes }: WhySpan, key: string): string | null {
  const value = attributes[key];
  return typeof value === "string" && value !== "" ? value : null;
}

/** Returns an attribute that is a possible amount: not negative, and so small that sums stay finite. */
export function amountOf({ attributes }: WhySpan, key: string): number | null {
  const value = attributes[key];
  return isAmount(value) ? value : null;
}
