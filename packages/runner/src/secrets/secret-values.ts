/**
 * Redacts the secret values that the runner knows from everything that it passes on: as plain text or its bytes, escaped as in
 * JSON, URLs and git's quoted names, and in base64 at any position of the encoded text. Pure, except for the list of values, which grows over time.
 */

/** Replaces a secret. */
export const REDACTED = "REDACTED";
/** A shorter value could be an ordinary word, whose redaction would make texts unreadable. */
const MIN_LENGTH = 8;
/** How many characters of a secret the regular expression searches for. Few texts match without containing a secret. */
const START_LENGTH = 4;
/** What may be between two characters of base64 with line breaks, also within JSON. */
const LINE_ENDS = ["", "\n", "\r\n", "\\n", "\\r\\n"];

/** A value as a sequence of tokens, each with the ways in which it may be written. */
type Tokens = readonly (readonly string[])[];

/** The result for a text that may be incomplete. */
export interface Redacted {
  readonly text: string;
  /** The end of the text, which could be the beginning of a secret; empty for a complete text. */
  readonly held: string;
}

export class SecretValues {
  readonly #values = new Set<string>();
  /** The forms of all values, by their first character. */
  readonly #forms = new Map<string, Tokens[]>();
  /** The starts of all forms, as alternatives of a regular expression, and the maximum length of a start. */
  readonly #starts: string[] = [];
  #longestStart = 0;
  /** The minimum length of a form. */
  #shortest = Infinity;
  #anyStart = /(?!)/g;

  /** Adds values, except for short ones. */
  add(...values: readonly (string | undefined)[]): void {
    for (const value of values) {
      if (value === undefined || value.length < MIN_LENGTH || this.#values.has(value)) continue;
      this.#values.add(value);
      for (const tokens of formsOf(value)) {
        this.#shortest = Math.min(this.#shortest, sum(tokens.map(shortestOf)));
        const start = tokens.slice(0, START_LENGTH);
        this.#starts.push(start.map((ways) => `(?:${ways.map(escaped).join("|")})`).join(""));
        const longest = start.map((ways) => Math.max(...ways.map(({ length }) => length)));
        this.#longestStart = Math.max(this.#longestStart, sum(longest));
        const firsts = new Set((tokens[0] ?? []).map((each) => each.charAt(0)));
        for (const first of firsts) this.#forms.set(first, [...(this.#forms.get(first) ?? []), tokens]);
      }
      this.#anyStart = new RegExp(this.#starts.join("|"), "g");
    }
  }

  /** Returns the text without secrets. */
  redact(text: string): string {
    return this.#replace(text, true).text;
  }

  /** Returns the beginning of a text without secrets, and without an end that could become one. */
  redactOpen(text: string): Redacted {
    return this.#replace(text, false);
  }

  /** Returns a JSON value without secrets in its strings and keys. */
  redactAll<T>(value: T): T {
    if (this.#forms.size === 0) return value;
    return this.#map(value) as T;
  }

  /** Returns a redactor for a text that arrives in pieces. */
  stream(): StreamRedactor {
    return new StreamRedactor(this);
  }

  #map(value: unknown): unknown {
    if (typeof value === "string") return this.redact(value);
    if (Array.isArray(value)) return value.map((each) => this.#map(each));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [this.redact(key), this.#map(each)]));
  }

  #replace(text: string, isComplete: boolean): Redacted {
    if (this.#forms.size === 0 || (isComplete && text.length < this.#shortest)) return { text, held: "" };
    let clean = "";
    let copied = 0;
    for (let at = this.#nextStart(text, 0, isComplete); at < text.length; ) {
      const { end, isOpen } = this.#matchAt(text, at);
      // More text may turn it into a secret, or into a longer one.
      if (isOpen && !isComplete) return { text: clean + text.slice(copied, at), held: text.slice(at) };
      if (end !== undefined) {
        clean += text.slice(copied, at) + REDACTED;
        copied = end;
      }
      at = this.#nextStart(text, end ?? at + 1, isComplete);
    }
    return { text: clean + text.slice(copied), held: "" };
  }

  /**
   * Returns the next position at which a secret may begin, or the length of the text. In an incomplete text, that includes
   * every position near the end.
   */
  #nextStart(text: string, from: number, isComplete: boolean): number {
    this.#anyStart.lastIndex = from;
    const found = this.#anyStart.exec(text)?.index ?? text.length;
    const end = isComplete ? text.length : Math.max(from, text.length - this.#longestStart + 1);
    return Math.min(found, end);
  }

  #matchAt(text: string, at: number): Match {
    let end: number | undefined;
    let isOpen = false;
    for (const tokens of this.#forms.get(text.charAt(at)) ?? []) {
      const match = matchTokens(text, at, tokens);
      if (match.end !== undefined && match.end > (end ?? 0)) end = match.end;
      isOpen ||= match.isOpen;
    }
    return { end, isOpen };
  }
}

/** Redacts a text that arrives in pieces. The result does not depend on how the text is split. */
export class StreamRedactor {
  readonly #secrets: SecretValues;
  #held = "";

  constructor(secrets: SecretValues) {
    this.#secrets = secrets;
  }

  /** @returns the redacted text that can already be passed on */
  push(piece: string): string {
    const { text, held } = this.#secrets.redactOpen(this.#held + piece);
    this.#held = held;
    return text;
  }

  /** Ends the text. @returns the rest of the redacted text */
  end(): string {
    const rest = this.#secrets.redact(this.#held);
    this.#held = "";
    return rest;
  }
}

interface Match {
  /** Where the longest secret ends; `undefined` if there is none. */
  readonly end: number | undefined;
  /** Whether the text ends within a possible secret. */
  readonly isOpen: boolean;
}

/** Matches all ways to write the tokens in parallel. It checks each position once per token, however many ways lead there. */
function matchTokens(text: string, start: number, tokens: Tokens): Match {
  let places = new Set([start]);
  let isOpen = false;
  for (const ways of tokens) {
    const next = new Set<number>();
    for (const at of places) {
      for (const way of ways) {
        if (text.startsWith(way, at)) next.add(at + way.length);
        else if (at + way.length > text.length && way.startsWith(text.slice(at))) isOpen = true;
      }
    }
    if (next.size === 0) return { end: undefined, isOpen };
    places = next;
  }
  return { end: Math.max(...places), isOpen };
}

function shortestOf(ways: readonly string[]): number {
  return Math.min(...ways.map(({ length }) => length));
}

/** Escapes a text for a regular expression. */
function escaped(text: string): string {
  return text.replace(/[^a-zA-Z0-9]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

function formsOf(value: string): Tokens[] {
  return [Array.from(value, writtenWays), ...base64Forms(Buffer.from(value))];
}

/** Returns a character as plain text, as its bytes read one by one, and escaped as in JSON, in URLs and in names that git quotes. */
function writtenWays(character: string): string[] {
  const ways = new Set([character]);
  const inJson = JSON.stringify(character).slice(1, -1);
  ways.add(inJson);
  // JSON within JSON.
  ways.add(JSON.stringify(inJson).slice(1, -1));
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  const inHex = units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  for (const each of [inHex, upperDigits(inHex)]) ways.add(each).add(`\\${each}`);
  if (character === "/") ways.add("\\/");
  if (character === " ") ways.add("+");
  const bytes = Buffer.from(character);
  if (bytes.length > 1) {
    // A patch has the encodings of its files, so it is read as bytes.
    ways.add(bytes.toString("latin1"));
    ways.add(Array.from(bytes, (byte) => `\\${byte.toString(8)}`).join(""));
  }
  const inUrl = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  for (const each of [inUrl, inUrl.toUpperCase()]) ways.add(each).add(each.replaceAll("%", "%25"));
  return [...ways];
}

function upperDigits(escaped: string): string {
  return escaped.replace(/[a-f]/g, (digit) => digit.toUpperCase());
}

/**
 * Returns the base64 of the bytes for each alignment in the encoded text, without the characters at either end that also depend
 * on neighbouring bytes.
 */
function base64Forms(bytes: Buffer): Tokens[] {
  return [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64");
    const own = encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
    return Array.from(own, (digit, index) => {
      const ways = base64Ways(digit);
      return index === 0 ? ways : LINE_ENDS.flatMap((lineEnd) => ways.map((way) => lineEnd + way));
    });
  });
}

function base64Ways(digit: string): string[] {
  if (digit === "+") return ["+", "-", "%2B", "%2b"];
  if (digit === "/") return ["/", "_", "%2F", "%2f", "\\/"];
  return [digit];
}
