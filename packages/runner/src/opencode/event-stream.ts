/** OpenCode's event stream over one server's life: connected, read, and connected again when it breaks. */
import { setTimeout as sleep } from "node:timers/promises";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { SecretValues } from "../secrets/secret-values.ts";
import type { OpenCodeClient } from "./client.ts";
import { EventRedactor } from "./event-redactor.ts";
import { type AgentEvent, readEvent } from "./events.ts";

export interface EventStreamOptions {
  readonly client: OpenCodeClient;
  /** What is taken out of events. */
  readonly secrets?: SecretValues;
  /** @param readMs epoch ms at which the event was read */
  onEvent(event: AgentEvent, readMs: number): void;
  /** The stream is back after a break in which events may have been lost. */
  onReconnected(): void;
  /** How long one try may take until OpenCode says that it is connected; the first, where there are several. */
  readonly connectTimeoutMs?: number;
  /** OpenCode sends a heartbeat every 10 s: after this long without a byte, the connection is given up. */
  readonly silenceMs?: number;
}

/** Longer than a stall of the server's start, short enough for several tries. */
const CONNECT_TIMEOUT_MS = 2_000;
/** For all tries of the first connection. */
const CONNECT_TOTAL_MS = 60_000;
/** One may be a stumble of its start; it fails for good when it cannot load its configuration. */
const MAX_REFUSALS = 2;
const SILENCE_MS = 30_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2_000;

/** OpenCode answered, and not with its events. */
export class EventStreamRefused extends Error {
  override readonly name = "EventStreamRefused";

  constructor(status: number) {
    super(`GET /event: ${status}`);
  }
}

interface Connection {
  /** Resolves when the connection has ended, however it did. */
  readonly ended: Promise<void>;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #closed = new AbortController();
  readonly #redactor: EventRedactor;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#redactor = new EventRedactor(options.secrets ?? new SecretValues());
  }

  /**
   * Resolves with the first `server.connected` and reads on in the background until {@link close}. A request right after the
   * server's start may stall or be reset, so that there are several tries; and OpenCode answers none before it has loaded its
   * configuration, for which it may install packages, so that each try has more time than the one before.
   * @param tries at most; as many as there is time for unless given
   * @param timeoutMs for all of them together
   * @throws what the last try failed with; at once {@link EventStreamRefused} when OpenCode refuses twice
   */
  async connect(tries = Number.POSITIVE_INFINITY, timeoutMs = CONNECT_TOTAL_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let tryMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    let refusals = 0;
    for (let attempt = 1; ; attempt++) {
      const leftMs = deadline - performance.now();
      try {
        void this.#keepOpen(await this.#open(Math.min(tryMs, leftMs)));
        return;
      } catch (error) {
        if (error instanceof EventStreamRefused) refusals++;
        const isLast = attempt >= tries || performance.now() + FIRST_DELAY_MS >= deadline;
        if (isLast || refusals >= MAX_REFUSALS || this.#closed.signal.aborted) throw error;
        await sleep(FIRST_DELAY_MS);
        tryMs *= 2;
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
  async #open(timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS): Promise<Connection> {
    const { client, onEvent, silenceMs = SILENCE_MS } = this.#options;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, connection.signal]);
    let timer = setTimeout(() => connection.abort(), timeoutMs);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => connection.abort(), silenceMs);
    };
    try {
      const response = await fetch(`${client.url}/event`, { signal, headers: client.headers });
      if (!response.ok || response.body === null) throw new EventStreamRefused(response.status);
      const reader = response.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream())
        .getReader();
      const next = async (): Promise<AgentEvent | undefined | "end"> => {
        const { value, done } = await reader.read();
        return done ? "end" : readEvent(this.#redactor.read(parseJson(value.data)));
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
