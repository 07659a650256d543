/**
 * Finds model calls that paid for input which the provider had cached before. Evidence is two calls of one conversation: the earlier one
 * read from the cache or wrote to it, the later one read less than half of that, though its input is long enough. Pure.
 */

import { breakdownText, limitText } from "../../duration-text.ts";
import { costText } from "../../protocol/cost.ts";
import type { AvoidableReason } from "../../protocol/why.ts";
import { amountOf, type ModelCall, textOf } from "./model-calls.ts";
import type { Waste } from "./repeated-work.ts";
import type { SpanIndex } from "./span-index.ts";
import type { WhySpan } from "./spans.ts";
import { capitalized, counted } from "./text.ts";

/**
 * How long providers keep a cache that nobody reads, in ms, by `gen_ai.provider.name`. Most say five minutes, each read prolonging it:
 * Anthropic (also through Bedrock and Vertex AI, unless a longer time is bought), OpenAI and Azure ("5 to 10 minutes of inactivity").
 * Groq says two hours; DeepSeek "a few hours", of which this is the shortest.
 */
const LIFETIMES_MS: Readonly<Record<string, number>> = { groq: 2 * 3_600_000, deepseek: 3_600_000 };
const DEFAULT_LIFETIME_MS = 5 * 60_000;

/** The shortest prefix that Anthropic and OpenAI cache. */
const MIN_TOKENS = 1024;

/** Why a call lost the cache of the one before, and what was different. */
interface Loss {
  readonly call: ModelCall;
  readonly reason: AvoidableReason;
  /** Tokens that were cached and were paid for again. */
  readonly tokens: number;
  /** `null` if a price is unknown. */
  readonly costUsd: number | null;
  /** A clause: why. */
  readonly because: string;
}

/**
 * @param calls the job's calls that count for no other reason
 * @param all these, and the calls of other jobs, in order of their start
 */
export function cacheLosses(index: SpanIndex, calls: readonly ModelCall[], all: readonly ModelCall[]): Waste[] {
  const history = new History(index, all);
  const pauses = new Pauses(index.spans);
  const losses = calls.flatMap((call) => lossOf(call, history.lastBefore(call), pauses) ?? []);
  const reasons = [...new Set(losses.map(({ reason }) => reason))];
  return reasons.map((reason) =>
    wasteOf(
      reason,
      losses.filter((loss) => loss.reason === reason),
    ),
  );
}

/** Returns one entry for all losses of a reason. The sentence explains the largest. */
function wasteOf(reason: AvoidableReason, losses: readonly Loss[]): Waste {
  const largest = losses.toSorted((a, b) => b.tokens - a.tokens)[0] as Loss;
  const costs = losses.flatMap(({ costUsd }) => costUsd ?? []);
  const isPartial = costs.length < losses.length;
  const costUsd = costs.length === 0 ? null : costs.reduce((sum, cost) => sum + cost, 0);
  const tokens = losses.reduce((sum, loss) => sum + loss.tokens, 0);
  const more = losses.length === 1 ? "" : ` (the largest of ${losses.length} such calls)`;
  const cost =
    costUsd === null
      ? "a price is unknown, and so is what that cost"
      : `that cost ${costText(costUsd, isPartial)} more`;
  return {
    reason,
    calls: losses.map(({ call }) => call),
    extra: { usd: costUsd, isKnown: !isPartial },
    sentence: () =>
      `${capitalized(counted(tokens, "cached token"))} were paid for again: ${largest.because}${more}; ${cost}.`,
  };
}

function lossOf(call: ModelCall, last: ModelCall | undefined, pauses: Pauses): Loss | undefined {
  const { tokens, costUsd } = call;
  if (tokens.input === null || last === undefined) return undefined;
  const cached = Math.min((last.tokens.cacheRead ?? 0) + (last.tokens.cacheWrite ?? 0), tokens.input);
  const read = Math.min(tokens.cacheRead ?? 0, tokens.input);
  if (cached < MIN_TOKENS || read > cached / 2) return undefined;
  const lost = cached - read;
  const extra = extraCost(call, lost);
  // Where a read from the cache is no cheaper, nothing was lost.
  if (extra === 0 || costUsd === 0) return undefined;
  return {
    call,
    tokens: lost,
    costUsd: extra === null || costUsd === null ? null : Math.min(extra, costUsd),
    ...causeOf(call, last, pauses),
  };
}

/** Returns what the tokens cost more than if they had been read from the cache; `null` if a price is unknown. */
function extraCost({ tokens, prices }: ModelCall, lost: number): number | null {
  const written = Math.min(lost, tokens.cacheWrite ?? 0);
  const ofWritten = dearer(written, prices.cacheWrite, prices.cacheRead);
  const ofPlain = dearer(lost - written, prices.input, prices.cacheRead);
  return ofWritten === null || ofPlain === null ? null : Math.max(0, ofWritten + ofPlain);
}

/** Returns what tokens cost more at the first price: of equal prices exactly 0. `null` if one is unknown. */
function dearer(tokens: number, price: number | null, thanPrice: number | null): number | null {
  if (tokens === 0) return 0;
  return price === null || thanPrice === null ? null : tokens * (price - thanPrice);
}

/** The model calls that have used a cache, or may have. */
class History {
  readonly #index: SpanIndex;
  readonly #conversations = new Map<string | null, ModelCall[]>();
  readonly #channels = new Map<string, ModelCall[]>();
  /** An agent calls its model a thousand times. */
  readonly #channelsOfParents = new Map<WhySpan, string>();

  /** @param calls in order of their start */
  constructor(index: SpanIndex, calls: readonly ModelCall[]) {
    this.#index = index;
    for (const call of calls) {
      // The history goes on without what a compaction asked.
      if (call.span.endMs === null || call.isCompaction || call.tokens.input === null) continue;
      push(this.#conversations, call.conversation, call);
      if (!call.isSubAgent) push(this.#channels, this.#channelOf(call), call);
    }
  }

  /**
   * Returns the call that used the cache last: of the same conversation, or, where an agent began a new one in the same channel, of
   * the one before.
   */
  lastBefore(call: ModelCall): ModelCall | undefined {
    if (call.conversation === null) return undefined;
    const own = lastEnded(this.#conversations.get(call.conversation), call.span.startMs);
    if (own !== undefined || call.isSubAgent) return own;
    return lastEnded(this.#channels.get(this.#channelOf(call)), call.span.startMs);
  }

  /** Returns the session and the channel of the call's turn; a workflow has none. */
  #channelOf({ span }: ModelCall): string {
    const parent = this.#index.parent(span);
    const known = parent && this.#channelsOfParents.get(parent);
    if (known !== undefined) return known;
    const turn = this.#index.ancestors(span).find(({ name }) => name === "valet.turn");
    const channel = JSON.stringify([span.sessionId, turn === undefined ? null : [textOf(turn, "valet.channel.id")]]);
    if (parent !== undefined) this.#channelsOfParents.set(parent, channel);
    return channel;
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Returns the last call that had ended at a time. @param calls in order of their start */
function lastEnded(calls: readonly ModelCall[] = [], atMs: number): ModelCall | undefined {
  let [low, high] = [0, calls.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((calls[middle]?.span.startMs ?? 0) < atMs) low = middle + 1;
    else high = middle;
  }
  for (let at = low - 1; at >= 0; at--) {
    const endMs = calls[at]?.span.endMs ?? null;
    if (endMs !== null && endMs <= atMs) return calls[at];
  }
  return undefined;
}

/** What may lie between two calls of a conversation. */
class Pauses {
  readonly #compactions = new Map<string | null, WhySpan[]>();
  readonly #asked = new Map<string, WhySpan[]>();
  readonly #starts = new Map<string, WhySpan[]>();

  /** @param spans in order of their start */
  constructor(spans: readonly WhySpan[]) {
    for (const span of spans) {
      const { name, sessionId } = span;
      if (name === "valet.compaction") push(this.#compactions, textOf(span, "valet.opencode.session.id"), span);
      else if (name === "valet.permission.wait" || name === "valet.question.wait") push(this.#asked, sessionId, span);
      else if (name === "valet.sandbox.spawn" || name === "valet.sandbox.restore") push(this.#starts, sessionId, span);
    }
  }

  /** Returns whether a conversation was compacted between two times. */
  hasCompaction(conversation: string | null, fromMs: number, toMs: number): boolean {
    const of = this.#compactions.get(conversation) ?? [];
    return of.some(({ startMs }) => startMs >= fromMs && startMs < toMs);
  }

  /** Returns for how long a person was asked in a session, in ms. */
  askedMs(sessionId: string, fromMs: number, toMs: number): number {
    return coveredMs(this.#asked.get(sessionId) ?? [], fromMs, toMs);
  }

  /** Returns for how long a session's sandbox started, in ms. */
  startMs(sessionId: string, fromMs: number, toMs: number): number {
    return coveredMs(this.#starts.get(sessionId) ?? [], fromMs, toMs);
  }
}

function causeOf(call: ModelCall, last: ModelCall, pauses: Pauses): Pick<Loss, "reason" | "because"> {
  const { span, provider, model } = call;
  const [fromMs, toMs] = [last.span.startMs, span.startMs];
  if (last.model !== model || last.provider !== provider) {
    const because = `\`${model}\` was called after \`${last.model}\` and had no cache`;
    return { reason: "cache_lost_model_switch", because };
  }
  if (call.isCompaction) {
    return { reason: "cache_lost_compaction", because: "the compaction sent the history with a prompt of its own" };
  }
  if (pauses.hasCompaction(call.conversation, fromMs, toMs)) {
    return { reason: "cache_lost_compaction", because: "the context had been compacted" };
  }
  const lifetimeMs = LIFETIMES_MS[provider ?? ""] ?? DEFAULT_LIFETIME_MS;
  const [was, is] = [last.span, span].map((each) => amountOf(each, "valet.generation"));
  const isRestored = was !== null && is !== null && was !== is;
  const pauseMs = toMs - fromMs;
  if (pauseMs > lifetimeMs) {
    const outlived = `the cache was last used ${breakdownText(pauseMs)} before, and the provider keeps it for about ${limitText(lifetimeMs)}`;
    const askedMs = pauses.askedMs(span.sessionId, fromMs, toMs);
    if (askedMs > 0 && pauseMs - askedMs <= lifetimeMs) {
      const because = `${outlived}; a person was asked for ${breakdownText(askedMs)} of that`;
      return { reason: "cache_lost_person", because };
    }
    const startMs = pauses.startMs(span.sessionId, fromMs, toMs);
    if (startMs > 0 && pauseMs - startMs <= lifetimeMs) {
      const because = `${outlived}; the sandbox started for ${breakdownText(startMs)} of that`;
      return { reason: "cache_lost_restore", because };
    }
    const meanwhile = isRestored ? "; the session was restored in the meantime" : "";
    return { reason: "cache_lost_idle", because: `${outlived}${meanwhile}` };
  }
  if (isRestored) {
    const because = "the session had been restored into another sandbox since the call before";
    return { reason: "cache_lost_restore", because };
  }
  const because = `the provider did not use the cache of ${breakdownText(pauseMs)} before, and no span says why: the beginning of the prompt may have changed`;
  return { reason: "cache_lost_other", because };
}

/** Returns how long any of the spans was open between two times, in ms. @param spans in order of their start */
function coveredMs(spans: readonly WhySpan[], fromMs: number, toMs: number): number {
  let total = 0;
  let coveredToMs = fromMs;
  for (const { startMs, endMs } of spans) {
    const end = Math.min(endMs ?? toMs, toMs);
    total += Math.max(0, end - Math.max(startMs, coveredToMs));
    coveredToMs = Math.max(coveredToMs, end);
  }
  return total;
}
