/**
 * Gives each tool call of a streamed answer an id of its own. Some local servers give all calls of an answer the same id, or an
 * empty one. OpenCode runs each of them, but keeps and reports only one for an id: the others would be invisible, and the model
 * would never get their results.
 */

const FIELD = "data:";
/** Lines that may name a call; all others are passed on as they are. */
const MENTIONS = /"tool_calls"/;
/** In bytes. What is longer without a line's end is passed on as it is. */
const MAX_LINE = 1_000_000;
/** What may end a line of a stream of events. */
const [LF, CR] = [0x0a, 0x0d];

interface CallDelta {
  readonly index?: unknown;
  id?: unknown;
}

interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly tool_calls?: readonly (CallDelta | null)[] } | null }[];
}

/** The answer of one request, in the format of Chat Completions. Other APIs make the ids themselves, and do not repeat any. */
export class UniqueCallIds {
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();
  #rest: Uint8Array = new Uint8Array();
  /** The ids that the calls of the answer get, by their place in it and the provider's id. */
  readonly #ids = new Map<string, string>();

  /** @returns what can be passed on of these bytes and those before: whole lines */
  pass(bytes: Uint8Array): Uint8Array {
    const all = this.#rest.length === 0 ? bytes : concat(this.#rest, bytes);
    const end = Math.max(all.lastIndexOf(LF), all.lastIndexOf(CR)) + 1;
    const isTooLong = all.length - end > MAX_LINE;
    this.#rest = isTooLong ? new Uint8Array() : all.subarray(end);
    return this.#rewrite(isTooLong ? all : all.subarray(0, end));
  }

  /** @returns the last line, if it did not end */
  end(): Uint8Array {
    const rest = this.#rest;
    this.#rest = new Uint8Array();
    return this.#rewrite(rest);
  }

  #rewrite(lines: Uint8Array): Uint8Array {
    const text = this.#decoder.decode(lines);
    if (!MENTIONS.test(text)) return lines;
    let isChanged = false;
    const rewritten = text.split("\n").map((line) => {
      const own = MENTIONS.test(line) ? this.#line(line) : undefined;
      isChanged ||= own !== undefined;
      return own ?? line;
    });
    return isChanged ? this.#encoder.encode(rewritten.join("\n")) : lines;
  }

  /** @returns the line with other ids; `undefined` if it may stay as it is */
  #line(line: string): string | undefined {
    if (!line.startsWith(FIELD)) return undefined;
    try {
      const chunk: Chunk = JSON.parse(line.slice(FIELD.length));
      let isChanged = false;
      for (const choice of chunk.choices ?? []) {
        for (const call of choice.delta?.tool_calls ?? []) isChanged = this.#call(call) || isChanged;
      }
      return isChanged ? `${FIELD} ${JSON.stringify(chunk)}` : undefined;
    } catch {
      // OpenCode says what is wrong with an answer that is no JSON, or has another shape.
      return undefined;
    }
  }

  /** @returns whether the call got another id */
  #call(call: CallDelta | null): boolean {
    // Without a place it cannot be told whether this is another call, or more of the same.
    if (typeof call?.id !== "string" || typeof call.index !== "number") return false;
    const place = `${call.index} ${call.id}`;
    const id = this.#ids.get(place) ?? this.#free(call.id);
    this.#ids.set(place, id);
    if (id === call.id) return false;
    call.id = id;
    return true;
  }

  #free(id: string): string {
    const taken = new Set(this.#ids.values());
    let free = id;
    for (let number = 2; taken.has(free); number++) free = `${id || "call"}_${number}`;
    return free;
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
