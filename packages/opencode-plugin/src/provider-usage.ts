/** Reads what a provider reports in its stream: the usage, why the answer ended, and errors. Pure. */
import { streamError } from "./stream-errors.ts";

/** Tokens as OpenCode counts them: input without cached tokens, output without reasoning tokens. */
export interface UsedTokens {
  readonly total: number;
  readonly input: number;
  readonly output: number;
  readonly reasoning: number;
  readonly cache: { readonly read: number; readonly write: number };
}

interface Json {
  readonly [key: string]: unknown;
}

/** Reads the events of a stream as they arrive. Knows Chat Completions, Responses and Anthropic's Messages. */
export class ProviderStream {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #usage: Json = {};
  /** The provider's own term. */
  finish: string | undefined;
  /** The first error that the provider reported in the stream, with the HTTP status that it would have had. */
  error: ReturnType<typeof streamError>;
  /** Whether that was its first event. */
  beganWithError = false;
  /** How many events it has sent; comments and pings, which only keep the connection open, do not count. */
  events = 0;

  /** Reads bytes. Ignores everything that is not an event of these APIs. */
  read(bytes: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = (lines.pop() ?? "").slice(-MAX_LINE);
    for (const line of lines) {
      if (!line.startsWith("data:") || PING.test(line)) continue;
      this.events++;
      if (MENTIONS.test(line)) this.#event(line.slice(5));
    }
  }

  /** The usage of the call, if the provider reported it. */
  get tokens(): UsedTokens | undefined {
    const usage = this.#usage;
    const [input, output] = [
      count(usage, "prompt_tokens", "input_tokens"),
      count(usage, "completion_tokens", "output_tokens"),
    ];
    if (input === undefined || output === undefined) return undefined;
    const details = object(usage.prompt_tokens_details ?? usage.input_tokens_details);
    const reasoning =
      count(object(usage.completion_tokens_details ?? usage.output_tokens_details), "reasoning_tokens") ?? 0;
    // Anthropic's input excludes cached tokens.
    const [apartRead, apartWrite] = [
      count(usage, "cache_read_input_tokens"),
      count(usage, "cache_creation_input_tokens"),
    ];
    const isApart = apartRead !== undefined || apartWrite !== undefined;
    const [read, write] = [apartRead ?? count(details, "cached_tokens") ?? 0, apartWrite ?? 0];
    return {
      total: input + output + (isApart ? read + write : 0),
      input: isApart ? input : Math.max(0, input - read - write),
      output: Math.max(0, output - reasoning),
      reasoning,
      cache: { read, write },
    };
  }

  #event(text: string): void {
    let event: Json;
    try {
      event = object(JSON.parse(text));
    } catch {
      return;
    }
    if (this.error === undefined) {
      this.error = streamError(event);
      this.beganWithError = this.error !== undefined && this.events === 1;
    }
    const response = object(event.response ?? event.message);
    this.#usage = { ...this.#usage, ...object(response.usage), ...object(event.usage) };
    const choice = object(Array.isArray(event.choices) ? event.choices[0] : undefined);
    const finish = choice.finish_reason ?? object(event.delta).stop_reason;
    if (typeof finish === "string") this.finish = finish;
  }
}

/** Lines that may hold usage, the end of an answer or an error; the others need not be parsed. */
const MENTIONS = /"usage"|"finish_reason"\s*:\s*"|"stop_reason"|"error"|"response\.failed"/;
/** Anthropic's comment. */
const PING = /^data:\s*\{\s*"type"\s*:\s*"ping"\s*\}\s*$/;
const MAX_LINE = 1_000_000;

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

/**
 * Returns whether a part is negative. OpenCode (1.18.33) replaces it by 0, so that only the provider's own counts tell that they are
 * impossible.
 */
export function hasNegativePart({ reasoning, cache }: UsedTokens): boolean {
  return Math.min(reasoning, cache.read, cache.write) < 0;
}

/** Returns a count. An impossible one stays so, but is small enough that sums with it can be reported: the runner judges them. */
function count(from: Json, ...keys: string[]): number | undefined {
  const value = keys.map((key) => from[key]).find((each) => each !== undefined && each !== null);
  if (typeof value !== "number") return undefined;
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(value, Number.MAX_SAFE_INTEGER));
}
