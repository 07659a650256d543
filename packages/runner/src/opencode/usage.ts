/** Converts tokens, providers and models to the GenAI conventions. */
import type { ProviderCall, TokenKind } from "@valet/shared/protocol/child-sessions";
import { OWN_PROVIDER } from "@valet/shared/protocol/model-access";
import type { Tokens } from "./events.ts";

/** The usage of a model call, as far as the provider reported it. */
export interface Usage {
  /** Including cached tokens. */
  readonly input: number | undefined;
  /** Including reasoning. */
  readonly output: number | undefined;
  readonly cacheRead: number | undefined;
  readonly cacheWrite: number | undefined;
  readonly reasoning: number | undefined;
  /**
   * Whether the provider's counts are possible and no part is larger than its whole. A larger part is reduced to the whole; an
   * impossible count is unknown.
   */
  readonly isConsistent: boolean;
}

/** The maximum tokens of one call: ten times the largest context of any model. */
const MAX_TOKENS = 100_000_000;
/** The maximum cost of one call: so many tokens at a price that no model has. A repository's configuration may name any price. */
const MAX_COST_USD = 100_000;

/** Returns whether it is a possible number of tokens. */
const isPossible = (count: number) => Number.isInteger(count) && count >= 0 && count <= MAX_TOKENS;

/**
 * Reads the tokens of a step. OpenCode counts separately what the conventions count together (cached tokens and input,
 * reasoning and output), uses 0 for unknown counts, and replaces negative counts by 0. Only `total` is the provider's own
 * count.
 * @param hasContent whether the answer has content
 * @returns `undefined` if the provider reported nothing
 */
export function readUsage(tokens: Tokens, hasContent: boolean): Usage | undefined {
  if (!isAllPossible(tokens)) return readImpossible(tokens, hasContent);
  const { read: cacheRead, write: cacheWrite } = tokens.cache;
  const cached = cacheRead + cacheWrite;
  const output = tokens.output + tokens.reasoning;
  const sum = tokens.input + cached + output;
  if (sum === 0) return undefined;
  const { total = sum } = tokens;
  const { isConsistent, isInputCut, isOutputCut } = cutsOf(tokens);
  // If only one of the two is impossible, it follows from the total.
  const input = isInputCut && !isOutputCut ? Math.max(0, total - output) : tokens.input + cached;
  const wholeOutput = isOutputCut && !isInputCut ? Math.max(0, total - input) : output;
  return {
    // Every call has input, and every call with content has output, so 0 means unknown.
    input: input === 0 && !isInputCut ? undefined : input,
    output: wholeOutput === 0 && hasContent && !isOutputCut ? undefined : wholeOutput,
    cacheRead: Math.min(cacheRead, input),
    cacheWrite: Math.min(cacheWrite, Math.max(0, input - cacheRead)),
    reasoning: Math.min(tokens.reasoning, wholeOutput),
    isConsistent,
  };
}

/** Returns whether the counts fit together, and of input and output, whether a part is larger than the whole and must be cut to it. */
function cutsOf({ total, input, output, reasoning, cache }: Tokens) {
  const cached = cache.read + cache.write;
  const sum = input + cached + output + reasoning;
  // If a whole was smaller than its part, it is 0 here, and the sum exceeds the provider's total.
  const isConsistent = total === undefined || total <= 0 || sum <= total;
  return {
    isConsistent,
    isInputCut: !isConsistent && input === 0 && cached > 0,
    isOutputCut: !isConsistent && output === 0 && reasoning > 0,
  };
}

function isAllPossible({ total = 0, input, output, reasoning, cache }: Tokens): boolean {
  return [total, input, output, reasoning, cache.read, cache.write].every(isPossible);
}

/**
 * Returns the credible part of partly impossible counts: of input and output the possible one, and the other from the total.
 */
function readImpossible({ total, input, output, reasoning, cache }: Tokens, hasContent: boolean): Usage {
  const sum = (...parts: number[]) => (parts.every(isPossible) ? parts.reduce((a, b) => a + b) : undefined);
  const [whole, wholeInput, wholeOutput] = [
    sum(total ?? Number.NaN),
    sum(input, cache.read, cache.write),
    sum(output, reasoning),
  ];
  const rest = (other: number | undefined) => {
    const left = (whole ?? Number.NaN) - (other ?? Number.NaN);
    return left > 0 ? left : undefined;
  };
  const isNoInput = wholeInput === undefined || wholeInput === 0;
  const isNoOutput = wholeOutput === undefined || (wholeOutput === 0 && hasContent);
  return {
    input: isNoInput ? rest(wholeOutput) : wholeInput,
    output: isNoOutput ? rest(wholeInput) : wholeOutput,
    cacheRead: isNoInput ? undefined : cache.read,
    cacheWrite: isNoInput ? undefined : cache.write,
    reasoning: isNoOutput ? undefined : reasoning,
    isConsistent: false,
  };
}

/**
 * Returns the counts to judge: OpenCode's, or the provider's own if those are impossible, since OpenCode replaces negative counts by 0.
 * @param own the provider's, as far as the plugin has reported them
 */
export function tokensToJudge(tokens: Tokens, own: Tokens | undefined): Tokens {
  return own === undefined || isAllPossible(own) ? tokens : own;
}

/**
 * Returns the cost that was computed; `undefined` if no price is known, for which OpenCode reports 0, or no tokens, or if it is impossible:
 * OpenCode charges for all of a part that is larger than its whole.
 */
export function readCost(tokens: Tokens, costUsd: number): number | undefined {
  if (!(costUsd > 0 && costUsd <= MAX_COST_USD) || !isAllPossible(tokens)) return undefined;
  const { isInputCut, isOutputCut } = cutsOf(tokens);
  return isInputCut || isOutputCut ? undefined : costUsd;
}

/**
 * Returns the attributes of a call's cost.
 * @param unpriced the kinds of tokens without a price, which OpenCode charges nothing for
 */
export function costAttributes(tokens: Tokens, costUsd: number, unpriced: readonly TokenKind[] = []) {
  const known = readCost(tokens, costUsd);
  const { input, output, reasoning, cache } = tokens;
  const counts = { input, output: output + reasoning, cacheRead: cache.read, cacheWrite: cache.write };
  const isPartial = known !== undefined && unpriced.some((kind) => counts[kind] > 0);
  return { "valet.llm.cost_usd": known, "valet.llm.cost_partial": isPartial ? true : undefined } as const;
}

/**
 * Returns the attributes of a step's tokens, without unknown counts.
 * @param hasContent whether the answer has content
 */
export function usageAttributes(tokens: Tokens, hasContent = false) {
  const usage = readUsage(tokens, hasContent);
  return {
    "gen_ai.usage.input_tokens": usage?.input,
    "gen_ai.usage.output_tokens": usage?.output,
    "gen_ai.usage.cache_read.input_tokens": usage?.cacheRead,
    "gen_ai.usage.cache_write.input_tokens": usage?.cacheWrite,
    "gen_ai.usage.cache_creation.input_tokens": usage?.cacheWrite,
    "gen_ai.usage.reasoning.output_tokens": usage?.reasoning,
    "valet.llm.usage_inconsistent": usage?.isConsistent === false ? true : undefined,
  } as const;
}

/** Returns a model's prices of input. OpenCode says 0 for prices that it does not know. */
export function priceAttributes(prices: ProviderCall["prices"]) {
  const known = (usd: number | undefined) => (usd === 0 ? undefined : usd);
  return {
    "valet.llm.price.input": known(prices?.input),
    "valet.llm.price.cache_read": known(prices?.cacheRead),
    "valet.llm.price.cache_write": known(prices?.cacheWrite),
  } as const;
}

/** The provider ids of OpenCode (models.dev) that have a different name in the conventions. */
const PROVIDER_NAMES: ReadonlyMap<string, string> = new Map([
  ["amazon-bedrock", "aws.bedrock"],
  ["azure", "azure.ai.openai"],
  ["azure-cognitive-services", "azure.ai.inference"],
  ["google", "gcp.gemini"],
  ["google-vertex", "gcp.vertex_ai"],
  ["google-vertex-anthropic", "gcp.vertex_ai"],
  ["mistral", "mistral_ai"],
  ["moonshotai", "moonshot_ai"],
  // The deployment's own endpoint is named after its API. `server.address` contains its host.
  [OWN_PROVIDER, "openai"],
  ["xai", "x_ai"],
]);

/** Returns the provider under both keys, the former one for older tools. */
export function providerAttributes(providerId: string) {
  const name = PROVIDER_NAMES.get(providerId) ?? providerId;
  return { "gen_ai.provider.name": name, "gen_ai.system": name } as const;
}

/** Returns the address of the deployment's own endpoint; no attributes if its URL is invalid. */
export function serverAttributes(baseUrl: string | undefined) {
  const url = URL.parse(baseUrl ?? "");
  if (url === null) return {};
  const port = url.port === "" ? DEFAULT_PORTS[url.protocol] : Number(url.port);
  return { "server.address": url.hostname.replace(/^\[|\]$/g, ""), "server.port": port } as const;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/** OpenCode's finish reasons that have a different name in the conventions' schema of messages. */
const FINISH_REASONS: ReadonlyMap<string, string> = new Map([
  ["tool-calls", "tool_call"],
  ["content-filter", "content_filter"],
]);

/** Returns the convention's name of a finish reason, or the reason itself if there is none. */
export function finishReason(word: string): string {
  return FINISH_REASONS.get(word) ?? word;
}

/** Splits `provider/model` at the first slash, since model names may contain slashes. */
export function splitModel(model: string): { providerID: string; modelID: string } | undefined {
  const slash = model.indexOf("/");
  if (slash < 1 || slash === model.length - 1) return undefined;
  return { providerID: model.slice(0, slash), modelID: model.slice(slash + 1) };
}
