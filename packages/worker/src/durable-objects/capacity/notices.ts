/**
 * Tells sessions that wait or start where they stand, until they have confirmed it: at once that they may start, and their
 * places a little later, since one grant moves the whole line.
 */
import type { CapacityStanding, CapacityState } from "./capacity-calls.ts";
import type { CapacityTable } from "./capacity-table.ts";

/** How long changed places gather. */
const PLACES_DELAY_MS = 500;
/** Before a session that gave no answer is told again. */
const RETRY_MS = 5000;
/** Of the line: who stands further back is told when it next reports, which is within a minute. */
const MAX_TOLD = 50;

export interface NoticesOptions {
  readonly table: CapacityTable;
  readonly now: () => number;
  /** Tells a session; resolves to what it needs by now. */
  readonly tell: (sessionId: string, standing: CapacityStanding) => Promise<CapacityState | null>;
  /** What a session answered. */
  readonly onAnswer: (sessionId: string, state: CapacityState | null) => void;
  /** Keeps the object alive for work that never rejects, and looks again afterwards. */
  readonly background: (work: Promise<void>) => void;
}

export class Notices {
  readonly #options: NoticesOptions;
  /** What each session has confirmed. Lost with the memory; then each is told once more. */
  readonly #confirmed = new Map<string, string>();
  readonly #calling = new Set<string>();
  /** Those who gave no answer, and when they are told again. */
  readonly #retryMs = new Map<string, number>();
  #placesDueMs: number | undefined;

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  /** When there is something to tell; `undefined` where there is not. Epoch ms. */
  get dueMs(): number | undefined {
    const first = Math.min(this.#placesDueMs ?? Infinity, ...this.#retryMs.values());
    return first === Infinity ? undefined : first;
  }

  /** A session knows where it stands: it has just asked. */
  confirm(sessionId: string, standing: CapacityStanding): void {
    this.#confirmed.set(sessionId, JSON.stringify(standing));
  }

  /** Tells what is to be told by now. To be called after each change, and when {@link dueMs} has come. */
  look(): void {
    const { table, now } = this.#options;
    const nowMs = now();
    const standings = table.startStandings();
    this.#forgetOthers(standings);
    for (const [id, dueMs] of this.#retryMs) if (dueMs <= nowMs) this.#retryMs.delete(id);
    const outdated = [...standings].flatMap(([sessionId, standing]) => {
      const isKnown = this.#confirmed.get(sessionId) === JSON.stringify(standing);
      return isKnown || this.#calling.has(sessionId) || this.#retryMs.has(sessionId) ? [] : [{ sessionId, standing }];
    });
    for (const { sessionId, standing } of outdated) if (standing.granted) this.#tell(sessionId, standing);
    const places = outdated.filter(({ standing }) => (standing.place ?? Infinity) <= MAX_TOLD);
    if (places.length === 0) {
      this.#placesDueMs = undefined;
    } else if (this.#placesDueMs === undefined) {
      this.#placesDueMs = nowMs + PLACES_DELAY_MS;
    } else if (this.#placesDueMs <= nowMs) {
      this.#placesDueMs = undefined;
      for (const { sessionId, standing } of places) this.#tell(sessionId, standing);
    }
  }

  #forgetOthers(known: ReadonlyMap<string, unknown>): void {
    for (const id of this.#confirmed.keys()) if (!known.has(id)) this.#confirmed.delete(id);
    for (const id of this.#retryMs.keys()) if (!known.has(id)) this.#retryMs.delete(id);
  }

  #tell(sessionId: string, standing: CapacityStanding): void {
    const { tell, onAnswer, now, background } = this.#options;
    this.#calling.add(sessionId);
    const told = tell(sessionId, standing).then(
      (state) => {
        this.#calling.delete(sessionId);
        this.confirm(sessionId, standing);
        onAnswer(sessionId, state);
      },
      () => {
        this.#calling.delete(sessionId);
        this.#retryMs.set(sessionId, now() + RETRY_MS);
      },
    );
    background(told);
  }
}
