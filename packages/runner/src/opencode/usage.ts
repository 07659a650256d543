/** Tokens, providers and models in the GenAI conventions' words. */
import { OWN_PROVIDER } from "@valet/shared/protocol/model-access";
import type { Tokens } from "./events.ts";

/** What one call of a model used, as far as its provider said. */
export interface Usage {
  /** Cached tokens included. */
  readonly input: number | undefined;
  /** Reasoning included. */
  readonly output: number | undefined;
  readonly cacheRead: number | undefined;
  readonly cacheWrite: number | undefined;
  readonly reasoning: number | undefined;
  /**
   * Whether no part that the provider counted was larger than the whole, and each figure was one that can be. A part that was
   * larger is cut to the whole; a figure that cannot be is not known.
   */
  readonly isConsistent: boolean;
}

/** Tokens of one call, at the most: ten times the largest context that a model is offered with. */
const MAX_TOKENS = 100_000_000;

/** Whether so many tokens can be. */
const isPossible = (count: number) => Number.isInteger(count) && count >= 0 && count <= MAX_TOKENS;

/**
 * Reads the tokens of a step. OpenCode counts apart what the conventions count together (cached tokens and input, reasoning
 * and output), says 0 for what it was not told, and cuts at 0 what would be less. Only `total` is as the provider gave it.
 * @param hasContent whether the answer held anything
 * @returns `undefined` where the provider has said nothing
 */
export function readUsage(tokens: Tokens, hasContent: boolean): Usage | undefined {
  if (!isAllPossible(tokens)) return readImpossible(tokens, hasContent);
  const { read: cacheRead, write: cacheWrite } = tokens.cache;
  const cached = cacheRead + cacheWrite;
  const output = tokens.output + tokens.reasoning;
  const sum = tokens.input + cached + output;
  if (sum === 0) return undefined;
  const { total = sum } = tokens;
  // A whole that was smaller than its part is 0 here, and the sum is more than the provider's.
  const isConsistent = total <= 0 || sum <= total;
  const isInputCut = !isConsistent && tokens.input === 0 && cached > 0;
  const isOutputCut = !isConsistent && tokens.output === 0 && tokens.reasoning > 0;
  // With one of the two in order, the total tells the other.
  const input = isInputCut && !isOutputCut ? Math.max(0, total - output) : tokens.input + cached;
  const wholeOutput = isOutputCut && !isInputCut ? Math.max(0, total - input) : output;
  return {
    // No call takes nothing in, and none that has said something gives nothing out.
    input: input === 0 && !isInputCut ? undefined : input,
    output: wholeOutput === 0 && hasContent && !isOutputCut ? undefined : wholeOutput,
    cacheRead: Math.min(cacheRead, input),
    cacheWrite: Math.min(cacheWrite, Math.max(0, input - cacheRead)),
    reasoning: Math.min(tokens.reasoning, wholeOutput),
    isConsistent,
  };
}

function isAllPossible({ total = 0, input, output, reasoning, cache }: Tokens): boolean {
  return [total, input, output, reasoning, cache.read, cache.write].every(isPossible);
}

/** What can be believed where some figures cannot be: of input and output the one that can, and the other by the total. */
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

/** What a call has cost, by OpenCode's reckoning; `undefined` where it knows no price, for which it says 0, or no tokens. */
export function readCost(tokens: Tokens, costUsd: number): number | undefined {
  return costUsd > 0 && isAllPossible(tokens) ? costUsd : undefined;
}

/**
 * A step's tokens in the conventions' words; what is not known is left out.
 * @param hasContent whether the answer held anything
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

/** OpenCode's (models.dev's) provider ids that have another name in the conventions. */
const PROVIDER_NAMES: ReadonlyMap<string, string> = new Map([
  ["amazon-bedrock", "aws.bedrock"],
  ["azure", "azure.ai.openai"],
  ["azure-cognitive-services", "azure.ai.inference"],
  ["google", "gcp.gemini"],
  ["google-vertex", "gcp.vertex_ai"],
  ["google-vertex-anthropic", "gcp.vertex_ai"],
  ["mistral", "mistral_ai"],
  ["moonshotai", "moonshot_ai"],
  // An endpoint of one's own: what counts is the flavour of its API. Which host it is `server.address` says.
  [OWN_PROVIDER, "openai"],
  ["xai", "x_ai"],
]);

/** Under both of its keys, the former for tools that read no other. */
export function providerAttributes(providerId: string) {
  const name = PROVIDER_NAMES.get(providerId) ?? providerId;
  return { "gen_ai.provider.name": name, "gen_ai.system": name } as const;
}

/** Where an endpoint of one's own is; nothing where its address cannot be read. */
export function serverAttributes(baseUrl: string | undefined) {
  const url = URL.parse(baseUrl ?? "");
  if (url === null) return {};
  const port = url.port === "" ? DEFAULT_PORTS[url.protocol] : Number(url.port);
  return { "server.address": url.hostname.replace(/^\[|\]$/g, ""), "server.port": port } as const;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/** OpenCode's words for why an answer ended that are others in the conventions' schema of messages. */
const FINISH_REASONS: ReadonlyMap<string, string> = new Map([
  ["tool-calls", "tool_call"],
  ["content-filter", "content_filter"],
]);

/** Why an answer ended, in the conventions' word where they have one. */
export function finishReason(word: string): string {
  return FINISH_REASONS.get(word) ?? word;
}

/** Takes `provider/model` apart at the first slash: model names have slashes of their own. */
export function splitModel(model: string): { providerID: string; modelID: string } | undefined {
  const slash = model.indexOf("/");
  if (slash < 1 || slash === model.length - 1) return undefined;
  return { providerID: model.slice(0, slash), modelID: model.slice(slash + 1) };
}
