/** Reads OpenCode's event stream during the lifetime of one server, and reconnects when it breaks. */
import { setTimeout as sleep } from "node:timers/promises";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { SecretValues } from "../secrets/secret-values.ts";
import type { OpenCodeClient } from "./client.ts";
import { EventRedactor } from "./event-redactor.ts";
import { type AgentEvent, readEvent } from "./events.ts";

export interface EventStreamOptions {
  readonly client: OpenCodeClient;
  /** Secrets that are redacted from events. */
  readonly secrets?: SecretValues;
  /** @param readMs when the event was read, epoch ms */
  onEvent(event: AgentEvent, readMs: number): void;
  /** Called after a reconnect, before any event of the new connection. Events may have been lost. */
  onReconnected(): void;
  /** The timeout of a try until OpenCode reports that it is connected; of several tries, that of the first. */
  readonly connectTimeoutMs?: number;
  /** The time without data after which the connection is closed. OpenCode sends a heartbeat every 10 s. */
  readonly silenceMs?: number;
}

/** Longer than a stall of the server's start, short enough for several tries. */
const CONNECT_TIMEOUT_MS = 2_000;
/** The time limit of all tries of the first connection. */
const CONNECT_TOTAL_MS = 60_000;
/** One refusal may occur during the server's start; two mean that OpenCode cannot load its configuration. */
const MAX_REFUSALS = 2;
const SILENCE_MS = 30_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2_000;

/** OpenCode answered with an error instead of events. */
export class EventStreamRefused extends Error {
  override readonly name = "EventStreamRefused";

  constructor(status: number) {
    super(`GET /event: ${status}`);
  }
}

interface Connection {
  /** Resolves when the connection has ended, for any reason. */
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
   * Resolves with the first `server.connected` and keeps reading in the background until {@link close}. It retries, since a
   * request right after the server's start may stall or be reset. Each try has a longer timeout, since OpenCode does not answer
   * before it has loaded its configuration, for which it may install packages.
   * @param tries the maximum number of tries; limited only by the time limit by default
   * @param timeoutMs the time limit of all tries
   * @throws the error of the last try; {@link EventStreamRefused} as soon as OpenCode has refused twice
   */
  async connect(tries = Number.POSITIVE_INFINITY, timeoutMs = CONNECT_TOTAL_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let tryMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    let refusals = 0;
    for (let attempt = 1; ; attempt++) {
      const leftMs = deadline - performance.now();
      try {
        void this.#keepOpen(await this.#open({ timeoutMs: Math.min(tryMs, leftMs) }));
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
        current = await this.#open({ onConnected: this.#options.onReconnected });
        delayMs = FIRST_DELAY_MS;
      } catch {
        current = undefined;
        await sleep(delayMs);
        delayMs = Math.min(2 * delayMs, MAX_DELAY_MS);
      }
    }
  }

  /** Resolves once connected. */
  async #open(how: { readonly timeoutMs?: number; onConnected?(): void }): Promise<Connection> {
    const { client, onEvent, connectTimeoutMs = CONNECT_TIMEOUT_MS, silenceMs = SILENCE_MS } = this.#options;
    const { timeoutMs = connectTimeoutMs, onConnected } = how;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, connection.signal]);
    let timer = setTimeout(() => connection.abort(), timeoutMs);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => connection.abort(), silenceMs);
    };
    try {
      const response = await client.fetch("/event", { signal });
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
      onConnected?.();
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
