/** OpenCode's event stream over one server's life: connected, read, and connected again when it breaks. */
import { setTimeout as sleep } from "node:timers/promises";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { OpenCodeClient } from "./client.ts";
import { type AgentEvent, readEvent } from "./events.ts";

export interface EventStreamOptions {
  readonly client: OpenCodeClient;
  /** @param readMs epoch ms at which the event was read */
  onEvent(event: AgentEvent, readMs: number): void;
  /** The stream is back after a break in which events may have been lost. */
  onReconnected(): void;
  /** How long one try may take until OpenCode says that it is connected. */
  readonly connectTimeoutMs?: number;
  /** OpenCode sends a heartbeat every 10 s: after this long without a byte, the connection is given up. */
  readonly silenceMs?: number;
}

/** Longer than a stall of the server's start, short enough for several tries. */
const CONNECT_TIMEOUT_MS = 2_000;
const SILENCE_MS = 30_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2_000;

interface Connection {
  /** Resolves when the connection has ended, however it did. */
  readonly ended: Promise<void>;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #closed = new AbortController();

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  /**
   * Resolves with the first `server.connected` and reads on in the background until {@link close}. A request right after the
   * server's start may stall or be reset, so that there are several tries.
   * @throws what the last try failed with
   */
  async connect(tries = 5): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        void this.#keepOpen(await this.#open());
        return;
      } catch (error) {
        if (attempt >= tries || this.#closed.signal.aborted) throw error;
        await sleep(FIRST_DELAY_MS);
      }
    }
  }

  close(): void {
    this.#closed.abort();
  }

  async #keepOpen(first: Connection): Promise<void> {
    let delayMs = FIRST_DELAY_MS;
    let current: Connection | undefined = first;
    while (!this.#closed.signal.aborted) {
      await current?.ended;
      if (this.#closed.signal.aborted) return;
      try {
        current = await this.#open();
        delayMs = FIRST_DELAY_MS;
        this.#options.onReconnected();
      } catch {
        current = undefined;
        await sleep(delayMs);
        delayMs = Math.min(2 * delayMs, MAX_DELAY_MS);
      }
    }
  }

  /** Resolves once connected. */
  async #open(): Promise<Connection> {
    const { client, onEvent, connectTimeoutMs = CONNECT_TIMEOUT_MS, silenceMs = SILENCE_MS } = this.#options;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, connection.signal]);
    let timer = setTimeout(() => connection.abort(), connectTimeoutMs);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => connection.abort(), silenceMs);
    };
    try {
      const response = await fetch(`${client.url}/event`, { signal, headers: { authorization: client.authorization } });
      if (!response.ok || response.body === null) throw new Error(`GET /event: ${response.status}`);
      const reader = response.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
        .getReader();
      const next = async (): Promise<AgentEvent | undefined | "end"> => {
        const { value, done } = await reader.read();
        return done ? "end" : readEvent(parseJson(value.data));
      };
      for (let event = await next(); ; event = await next()) {
        if (event === "end") throw new Error("GET /event: ended before it was connected");
        if (event?.type === "server.connected") break;
      }
      alive();
      const readOn = async () => {
        for (let event = await next(); event !== "end"; event = await next()) {
          alive();
          if (event !== undefined) onEvent(event, Date.now());
        }
      };
      const ended = readOn()
        .catch(() => undefined)
        .finally(() => {
          clearTimeout(timer);
          connection.abort();
        });
      return { ended };
    } catch (error) {
      clearTimeout(timer);
      connection.abort();
      throw error;
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
