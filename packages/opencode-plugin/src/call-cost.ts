/** What a model call costs, calculated as OpenCode (1.18.33) does. Pure. */
import { type ProviderCall, TokenKind } from "@valet/shared/protocol/child-sessions";
import type { UsedTokens } from "./provider-usage.ts";

/** Prices in USD per million tokens; 0 where OpenCode knows none. */
interface TokenPrices {
  readonly input: number;
  readonly output: number;
  readonly cache: { readonly read: number; readonly write: number };
}

/** A model's prices in OpenCode's terms. */
export interface Prices extends TokenPrices {
  /** The prices of longer inputs. */
  readonly tiers?: readonly (TokenPrices & { readonly tier: { readonly type: string; readonly size: number } })[];
  /** The same, for inputs of more than 200,000 tokens. */
  readonly experimentalOver200K?: TokenPrices;
}

/** The input above which {@link Prices.experimentalOver200K} holds, in tokens. */
const LONG_INPUT = 200_000;

/** Returns the prices of input, for the runner; none where they depend on the input's length. */
export function inputPrices(prices: Prices | undefined): Pick<ProviderCall, "prices"> {
  if (prices === undefined || prices.tiers !== undefined || prices.experimentalOver200K !== undefined) return {};
  const known = { input: prices.input, cacheRead: prices.cache.read, cacheWrite: prices.cache.write };
  // A repository's configuration may contain any number.
  return Object.values(known).every((usd) => Number.isFinite(usd) && usd >= 0) ? { prices: known } : {};
}

/**
 * Returns the kinds of tokens without a price, where others have one: OpenCode calculates with 0. If one tier lacks a kind, the kind
 * counts as unpriced in all tiers. Returns none if no price is known, since the cost is unknown then.
 */
export function unpricedKinds(prices: Prices | undefined): TokenKind[] {
  if (prices === undefined) return [];
  const { tiers = [], experimentalOver200K } = prices;
  const all = [prices, ...tiers, ...(experimentalOver200K === undefined ? [] : [experimentalOver200K])].map(
    ({ input, output, cache }) => ({ input, output, cacheRead: cache.read, cacheWrite: cache.write }),
  );
  const kinds = TokenKind.options;
  const lacking = kinds.filter((kind) => all.some((each) => each[kind] === 0));
  return all.some((each) => kinds.some((kind) => each[kind] > 0)) ? lacking : [];
}

/** Returns the cost; `undefined` if it is unknown, or no number that JSON has. */
export function costOf(tokens: UsedTokens, prices: Prices | undefined): number | undefined {
  if (prices === undefined) return undefined;
  const { input, output, reasoning, cache } = tokens;
  const each = pricesOf(input + cache.read + cache.write, prices);
  const micros =
    input * each.input +
    (output + reasoning) * each.output +
    cache.read * each.cache.read +
    cache.write * each.cache.write;
  return micros > 0 && Number.isFinite(micros) ? micros / 1e6 : undefined;
}

/** Returns the prices of a call with so long an input: those of the highest tier that it exceeds. */
function pricesOf(inputTokens: number, prices: Prices): TokenPrices {
  const { tiers = [], experimentalOver200K } = prices;
  const exceeded = tiers
    .filter(({ tier }) => tier.type === "context" && inputTokens > tier.size)
    .sort((a, b) => b.tier.size - a.tier.size);
  return exceeded[0] ?? (inputTokens > LONG_INPUT ? experimentalOver200K : undefined) ?? prices;
}
