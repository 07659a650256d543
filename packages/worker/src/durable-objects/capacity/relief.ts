/**
 * Makes room: as long as sessions wait for sandboxes to fall asleep, those that are awake are asked how long they have had
 * nothing to do, and the least recently used are asked to hibernate. A session decides for itself whether it may.
 */
import type { CapacityState } from "./capacity-calls.ts";
import type { CapacityTable } from "./capacity-table.ts";

/** How often those that are awake are asked while somebody waits; longer where they are many. */
const POLL_MS = 1000;
const POLL_MS_EACH = 20;
/** A session that would not sleep is not asked to for this long: what it has in the background may go on. */
const DECLINED_MS = 15_000;
/** One that would and could not, since no snapshot can be taken, say, is left alone for longer. */
const FAILED_MS = 2 * 60_000;

export interface ReliefOptions {
  readonly table: CapacityTable;
  readonly now: () => number;
  /** Asks a session how it is. */
  readonly state: (sessionId: string) => Promise<CapacityState | null>;
  /** Asks a session to hibernate. @returns whether it is on its way */
  readonly yieldSlot: (sessionId: string) => Promise<boolean>;
  /** What a session answered. */
  readonly onAnswer: (sessionId: string, state: CapacityState | null) => void;
  /** Keeps the object alive for work that never rejects, and looks again afterwards. */
  readonly background: (work: Promise<void>) => void;
}

export class Relief {
  readonly #options: ReliefOptions;
  /** Until when a sandbox is not asked for, by session and generation. Epoch ms. */
  readonly #restsUntilMs = new Map<string, number>();
  #isRunning = false;
  #nextMs = 0;

  constructor(options: ReliefOptions) {
    this.#options = options;
  }

  /** When those that are awake are to be asked; `undefined` where nobody waits for them. Epoch ms. */
  get dueMs(): number | undefined {
    const { table, now } = this.#options;
    if (this.#isRunning || table.awake.length === 0 || table.shortage(0, now()) === 0) return undefined;
    return this.#nextMs;
  }

  /** Begins to make room if that is due. */
  look(): void {
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

  /** What those that are awake say; who gives no answer is left out. */
  async #ask(): Promise<CapacityState[]> {
    const { table, state, onAnswer } = this.#options;
    const asked = table.awake.map(async ({ sessionId }) => {
      const answer = await state(sessionId).catch(() => undefined);
      if (answer === undefined) return [];
      onAnswer(sessionId, answer);
      return answer === null ? [] : [answer];
    });
    return (await Promise.all(asked)).flat();
  }

  #yield(sessionId: string): Promise<boolean> {
    return this.#options.yieldSlot(sessionId).catch(() => false);
  }
}

function sandboxKey({ sessionId, generation }: CapacityState): string {
  return `${sessionId}/${generation}`;
}
