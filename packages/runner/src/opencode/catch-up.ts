/**
 * Replaces lost events of OpenCode's stream from its history. While the history is being read, the stream's events are held
 * back, because the history is older than they are and must be applied first.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentEvent } from "./events.ts";
import { answeredRequests, withoutTold } from "./history.ts";

export interface CatchUpOptions {
  /** Reads the history, as events. */
  read(): Promise<readonly AgentEvent[]>;
  /** @param readMs when the event was read, epoch ms */
  apply(event: AgentEvent, readMs: number): void;
  /** Whether no more events are needed. */
  isOver(): boolean;
  /** The delay before another try to read the history. */
  readonly retryMs?: number;
  /** The maximum size of held-back events, in UTF-16 code units of JSON. */
  readonly maxHeld?: number;
}

const RETRY_MS = 500;
/** Enough for several seconds of a turn with much output. */
const MAX_HELD = 16_000_000;

/** The events that the history and the list of statuses replace. */
const TOLD_BY_HISTORY: ReadonlySet<AgentEvent["type"]> = new Set([
  ...(["message.updated", "message.part.updated", "message.part.delta"] as const),
  ...(["session.created", "session.status"] as const),
]);

interface Held {
  readonly event: AgentEvent;
  readonly readMs: number;
  readonly size: number;
}

export class CatchUp {
  readonly #options: CatchUpOptions;
  #held: Held[] = [];
  #heldSize = 0;
  #running: Promise<void> | undefined;
  /** Whether a newer history is needed than the one that is being read. */
  #isStale = false;
  #triesLeft = 0;
  /** Whether the history has been asked for, since events may have been lost. */
  wasNeeded = false;

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  /** Handles an event of the stream: applies it, or holds it back while the history is being read. */
  hear(event: AgentEvent, readMs: number): void {
    if (this.#running === undefined) this.#options.apply(event, readMs);
    else this.#hold(event, readMs);
  }

  /**
   * Reads and applies the history, then the events held back. Resolves once a history that was read after this call has been
   * applied.
   * @param tries the maximum number of tries to read it
   * @throws the error of the last try
   */
  run(tries = 1): Promise<void> {
    this.wasNeeded = true;
    this.#triesLeft = Math.max(this.#triesLeft, tries);
    if (this.#running === undefined) this.#running = this.#run();
    else this.#isStale = true;
    return this.#running;
  }

  /** Resolves once no event is held back. Never rejects. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  /** Runs after the stream was re-established. The new history also covers the events held back so far. */
  recover(tries: number): Promise<void> {
    this.#dropHistory();
    return this.run(tries);
  }

  /** Applies the events held back without waiting for the history. */
  flush(): void {
    const held = this.#held;
    this.#held = [];
    this.#heldSize = 0;
    for (const { event, readMs } of held) this.#options.apply(event, readMs);
  }

  async #run(): Promise<void> {
    const { apply, isOver } = this.#options;
    try {
      do {
        this.#isStale = false;
        const events = await this.#read();
        const now = Date.now();
        const held = this.#held.map(({ event }) => event);
        for (const event of withoutTold(events, held)) apply(event, now);
      } while (this.#isStale && !isOver());
    } finally {
      this.#running = undefined;
      this.#triesLeft = 0;
      this.flush();
    }
  }

  async #read(): Promise<readonly AgentEvent[]> {
    const { read, isOver, retryMs = RETRY_MS } = this.#options;
    for (;;) {
      try {
        return await read();
      } catch (error) {
        this.#triesLeft--;
        if (this.#triesLeft <= 0 || isOver()) throw error;
        await sleep(retryMs);
      }
    }
  }

  #hold(event: AgentEvent, readMs: number): void {
    const { maxHeld = MAX_HELD } = this.#options;
    const size = JSON.stringify(event).length;
    this.#held.push({ event, readMs, size });
    this.#heldSize += size;
    if (this.#heldSize <= maxHeld) return;
    // A history that is read from now on covers the dropped events.
    this.#isStale = true;
    this.#dropHistory();
    while (this.#heldSize > maxHeld) this.#heldSize -= this.#held.shift()?.size ?? this.#heldSize;
  }

  /** Drops events that a new history covers. It lists pending requests, so answered ones must stay with their answers. */
  #dropHistory(): void {
    const answered = answeredRequests(this.#held.map(({ event }) => event));
    this.#held = this.#held.filter(({ event }) => {
      const isAsked = event.type === "permission.asked" || event.type === "question.asked";
      return isAsked ? answered.has(event.properties.id) : !TOLD_BY_HISTORY.has(event.type);
    });
    this.#heldSize = this.#held.reduce((total, { size }) => total + size, 0);
  }
}
