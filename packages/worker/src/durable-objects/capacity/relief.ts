/**
 * Makes room: while sessions wait for others to hibernate, asks the awake sessions how long they have been idle, and
 * asks the least recently used ones to hibernate. A session decides by itself whether it may.
 */
import type { CapacityState } from "./capacity-calls.ts";
import type { CapacityTable } from "./capacity-table.ts";

/** How often the awake sessions are polled while a session waits; less often when there are many. */
const POLL_MS = 1000;
const POLL_MS_EACH = 20;
/** A session that declined is not asked again for this long, since its background work may take a while. */
const DECLINED_MS = 15_000;
/**
 * A session that failed to hibernate, for example because its snapshot failed, is not asked again for this longer time.
 */
const FAILED_MS = 2 * 60_000;

export interface ReliefOptions {
  readonly table: CapacityTable;
  readonly now: () => number;
  /** Returns a session's state. */
  readonly state: (sessionId: string) => Promise<CapacityState | null>;
  /** Asks a session to hibernate. @returns whether it does */
  readonly yieldSlot: (sessionId: string) => Promise<boolean>;
  /** Receives a session's answer. */
  readonly onAnswer: (sessionId: string, state: CapacityState | null) => void;
  /** Keeps the object alive for work that never rejects; calls {@link Relief.startIfDue} again afterwards. */
  readonly background: (work: Promise<void>) => void;
}

export class Relief {
  readonly #options: ReliefOptions;
  /** When a sandbox may be asked again, by session and generation. Epoch ms. */
  readonly #restsUntilMs = new Map<string, number>();
  #isRunning = false;
  #nextMs = 0;

  constructor(options: ReliefOptions) {
    this.#options = options;
  }

  /** Returns when the awake sessions are to be polled, epoch ms; `undefined` when no session waits for them. */
  get dueMs(): number | undefined {
    const { table, now } = this.#options;
    if (this.#isRunning || table.awake.length === 0 || table.shortage(0, now()) === 0) return undefined;
    return this.#nextMs;
  }

  /** Starts to make room if that is due. */
  startIfDue(): void {
    const { now, background } = this.#options;
    if ((this.dueMs ?? Infinity) > now()) return;
    this.#isRunning = true;
    background(this.#run());
  }

  async #run(): Promise<void> {
    const { table, now } = this.#options;
    try {
      const states = await this.#ask();
      const isLeaving = states.filter((state) => state.isLeaving).length;
      const idle = states
        .flatMap(({ idleSinceMs, ...state }) => (idleSinceMs === null ? [] : [{ ...state, idleSinceMs }]))
        .filter((state) => (this.#restsUntilMs.get(sandboxKey(state)) ?? 0) <= now())
        .sort((a, b) => a.idleSinceMs - b.idleSinceMs);
      let leaving = isLeaving;
      for (const state of idle) {
        if (table.shortage(leaving, now()) === 0) break;
        const isGoing = await this.#yield(state.sessionId);
        if (isGoing) leaving++;
        this.#restsUntilMs.set(sandboxKey(state), now() + (isGoing ? FAILED_MS : DECLINED_MS));
      }
    } finally {
      this.#isRunning = false;
      this.#nextMs = now() + Math.max(POLL_MS, POLL_MS_EACH * table.awake.length);
      for (const [key, untilMs] of this.#restsUntilMs) if (untilMs <= now()) this.#restsUntilMs.delete(key);
    }
  }

  /** Returns the answers of the awake sessions, without those that did not answer. */
  async #ask(): Promise<CapacityState[]> {
    const { table, state, onAnswer } = this.#options;
    const answers = table.awake.map(async ({ sessionId }) => {
      const answer = await state(sessionId).catch(() => undefined);
      if (answer === undefined) return [];
      onAnswer(sessionId, answer);
      return answer === null ? [] : [answer];
    });
    return (await Promise.all(answers)).flat();
  }

  #yield(sessionId: string): Promise<boolean> {
    return this.#options.yieldSlot(sessionId).catch(() => false);
  }
}

function sandboxKey({ sessionId, generation }: CapacityState): string {
  return `${sessionId}/${generation}`;
}
