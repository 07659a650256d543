/** A provider's stream that may not be silent for too long: only its events count, not what keeps a connection open. */
import type { ProviderStream } from "./provider-usage.ts";

/** The stream brought no event in time. OpenCode tries a call again whose connection was reset. */
export class StreamSilent extends Error {
  override readonly name = "StreamSilent";
  readonly code = "ECONNRESET";

  constructor() {
    super("The provider sent no event in time: timed out");
  }
}

/** What is used of a stream's reader. Bun's type has more than the standard's. */
interface ByteReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(reason?: unknown): Promise<void>;
}

export class WatchedStream {
  readonly #reader: ByteReader;
  readonly #stream: ProviderStream;
  readonly #silenceMs: number;
  readonly #onBytes: () => void;
  #eventMs = performance.now();

  /**
   * @param stream is given all bytes that are read
   * @param onBytes called for each piece that arrives, whatever is in it
   */
  constructor(body: ReadableStream<Uint8Array>, stream: ProviderStream, silenceMs: number, onBytes: () => void) {
    this.#reader = body.getReader();
    this.#stream = stream;
    this.#silenceMs = silenceMs;
    this.#onBytes = onBytes;
  }

  /** Reads up to the first event, or to the end if there is none. @throws StreamSilent */
  async begin(): Promise<Uint8Array[]> {
    const read: Uint8Array[] = [];
    while (this.#stream.events === 0) {
      const bytes = await this.read();
      if (bytes === undefined) break;
      read.push(bytes);
      // Not a stream of events: its reader says what is wrong with it.
      if (read.length === 1 && !looksLikeEvents(bytes)) break;
    }
    return read;
  }

  /**
   * Reads a document, which came in place of events, to its end.
   * @param read what {@link begin} has read; the rest is added to it
   * @returns its text; `undefined` if it is no JSON, or too long @throws StreamSilent
   */
  async document(read: Uint8Array[]): Promise<string | undefined> {
    const decoder = new TextDecoder();
    let text = read.map((bytes) => decoder.decode(bytes, { stream: true })).join("");
    if (!/^\s*[[{]/.test(text)) return undefined;
    while (text.length <= MAX_DOCUMENT) {
      const bytes = await this.read();
      if (bytes === undefined) return text;
      read.push(bytes);
      text += decoder.decode(bytes, { stream: true });
    }
    return undefined;
  }

  /** @returns `undefined` at the end @throws StreamSilent, or what the connection failed with */
  async read(): Promise<Uint8Array | undefined> {
    const { events } = this.#stream;
    const leftMs = Math.max(0, this.#eventMs + this.#silenceMs - performance.now());
    const silent = Promise.withResolvers<never>();
    const timer = setTimeout(() => silent.reject(new StreamSilent()), leftMs);
    try {
      const { done, value } = await Promise.race([this.#reader.read(), silent.promise]);
      if (done || value === undefined) return undefined;
      this.#onBytes();
      this.#stream.read(value);
      if (this.#stream.events > events) this.#eventMs = performance.now();
      return value;
    } catch (error) {
      if (error instanceof StreamSilent) await this.cancel().catch(() => undefined);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  cancel(reason?: unknown): Promise<void> {
    return this.#reader.cancel(reason);
  }
}

/** In UTF-16 code units. Errors are much shorter. */
const MAX_DOCUMENT = 64 * 1024;

/** Whether bytes may begin a stream of events: a field, a comment or a blank line. */
function looksLikeEvents(bytes: Uint8Array): boolean {
  return /^\uFEFF?(?:data|event|id|retry|:|\s*$|\r?\n)/.test(new TextDecoder().decode(bytes.subarray(0, 64)));
}
