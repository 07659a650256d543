/**
 * Makes good from OpenCode's history what its event stream may have lost. While the history is read, the stream's events are
 * held back: the history is older than they are when it arrives, and what it tells must be known before what follows.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentEvent } from "./events.ts";
import { answeredRequests, withoutTold } from "./history.ts";

export interface CatchUpOptions {
  /** Reads the history, as events. */
  read(): Promise<readonly AgentEvent[]>;
  /** @param readMs epoch ms at which it was read */
  apply(event: AgentEvent, readMs: number): void;
  /** Whether nobody needs to know more. */
  isOver(): boolean;
  /** How long to wait before a history that could not be read is read again. */
  readonly retryMs?: number;
  /** UTF-16 code units of JSON that may be held back. */
  readonly maxHeld?: number;
}

const RETRY_MS = 500;
/** Of a turn that writes much, seconds. */
const MAX_HELD = 16_000_000;

/** What the history and the list of statuses tell just as well. */
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
  /** Whether a history is asked for that is newer than the one that is being read. */
  #isStale = false;
  #triesLeft = 0;

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  /** Takes an event of the stream: applies it, or holds it back while the history is read. */
  hear(event: AgentEvent, readMs: number): void {
    if (this.#running === undefined) this.#options.apply(event, readMs);
    else this.#hold(event, readMs);
  }

  /**
   * Reads the history and applies it, then what was heard meanwhile. Resolves once a history was applied that was read after
   * this call.
   * @param tries how often it may be tried to read it
   * @throws what reading it failed with
   */
  run(tries = 1): Promise<void> {
    this.#triesLeft = Math.max(this.#triesLeft, tries);
    if (this.#running === undefined) this.#running = this.#run();
    else this.#isStale = true;
    return this.#running;
  }

  /** Resolves when nothing is held back. Never rejects. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  /** Runs after the stream was lost and is back. What was held back until now is older than the history that is read from now on. */
  recover(tries: number): Promise<void> {
    this.#dropHistory();
    return this.run(tries);
  }

  /** Applies what is held back without the history. */
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
    // A history that is read from now on tells it.
    this.#isStale = true;
    this.#dropHistory();
    while (this.#heldSize > maxHeld) this.#heldSize -= this.#held.shift()?.size ?? this.#heldSize;
  }

  /** Drops what a history that is read from now on tells. It lists the requests that are pending; others must keep their answer. */
  #dropHistory(): void {
    const answered = answeredRequests(this.#held.map(({ event }) => event));
    this.#held = this.#held.filter(({ event }) => {
      const isAsked = event.type === "permission.asked" || event.type === "question.asked";
      return isAsked ? answered.has(event.properties.id) : !TOLD_BY_HISTORY.has(event.type);
    });
    this.#heldSize = this.#held.reduce((total, { size }) => total + size, 0);
  }
}
