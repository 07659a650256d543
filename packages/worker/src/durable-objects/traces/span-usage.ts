/** What a skeleton has of the tokens and the cost of a model call. Pure. */
import { isAmount } from "@valet/shared/protocol/amounts";
import { CHARGE_KEYS, isChargedTry, isHalfKnown } from "@valet/shared/protocol/cost";
import type { SkeletonSpan, SkeletonUsage } from "@valet/shared/protocol/skeleton-codec";

/** The names of the spans of model calls begin so. */
const CHAT = "chat ";
const COST = "valet.llm.cost_usd";

/** Returns the value of an attribute; `undefined` if the span has none of that key. */
type Read = (key: string) => unknown;

/** Returns the usage of a model call; `undefined` for other spans, and if nothing is known. */
export function usageOf(name: string, read: Read): SkeletonUsage | undefined {
  if (!name.startsWith(CHAT)) return undefined;
  const input = amount(read("gen_ai.usage.input_tokens"));
  const cached = amount(read("gen_ai.usage.cache_read.input_tokens"));
  const costUsd = amount(read(COST));
  return input === undefined && costUsd === undefined ? undefined : { input, cached, costUsd };
}

/** Returns the mark of an ended span that makes a cost a lower bound: a model call's by its own usage, or a try's of one. */
export function partialCostOf(
  { name, outcome }: { readonly name: string; readonly outcome?: SkeletonSpan["outcome"] },
  read: Read,
): Pick<SkeletonSpan, "isCostPartial"> {
  if (name.startsWith(CHAT)) return mark(isAmount(read(COST)) && isHalfKnown(read));
  if (name !== "valet.llm.try") return mark(false);
  const attributes = Object.fromEntries(CHARGE_KEYS.map((key) => [key, read(key)]));
  return mark(isChargedTry({ name, outcome: outcome ?? null, attributes }));
}

function mark(isCostPartial: boolean): Pick<SkeletonSpan, "isCostPartial"> {
  return isCostPartial ? { isCostPartial } : {};
}

function amount(value: unknown): number | undefined {
  return isAmount(value) ? value : undefined;
}
