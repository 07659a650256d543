/** What a skeleton has of the tokens and the cost of a model call. Pure. */
import type { SkeletonUsage } from "@valet/shared/protocol/skeleton-codec";
import { MAX_FIGURE } from "@valet/shared/protocol/wire-fields";

/** The names of the spans of model calls begin so. */
const CHAT = "chat ";

/**
 * Returns the usage of a model call; `undefined` for other spans, and if nothing is known.
 * @param read returns the value of an attribute; `undefined` if the span has none of that key
 */
export function usageOf(name: string, read: (key: string) => unknown): SkeletonUsage | undefined {
  if (!name.startsWith(CHAT)) return undefined;
  const input = amount(read("gen_ai.usage.input_tokens"));
  const cached = amount(read("gen_ai.usage.cache_read.input_tokens"));
  const costUsd = amount(read("valet.llm.cost_usd"));
  return input === undefined && costUsd === undefined ? undefined : { input, cached, costUsd };
}

function amount(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value <= MAX_FIGURE ? value : undefined;
}
