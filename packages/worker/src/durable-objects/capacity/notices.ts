/**
 * Notifies waiting and starting sessions of their standing until they acknowledge it. A grant is sent at once; places
 * are sent a little later, since one grant moves the whole line.
 */
import type { CapacityStanding, CapacityState } from "./capacity-calls.ts";
import type { CapacityTable } from "./capacity-table.ts";

/** How long changed places are collected. */
const PLACES_DELAY_MS = 500;
/** The delay before a session that did not answer is notified again. */
const RETRY_MS = 5000;
/**
 * The maximum number of notified places. Sessions further back learn theirs with their next report, within a minute.
 */
const MAX_NOTIFIED = 50;

export interface NoticesOptions {
  readonly table: CapacityTable;
  readonly now: () => number;
  /** Notifies a session. @returns its current need */
  readonly notify: (sessionId: string, standing: CapacityStanding) => Promise<CapacityState | null>;
  /** Receives a session's answer. */
  readonly onAnswer: (sessionId: string, state: CapacityState | null) => void;
  /** Keeps the object alive for work that never rejects; calls {@link Notices.sendDue} again afterwards. */
  readonly background: (work: Promise<void>) => void;
}

export class Notices {
  readonly #options: NoticesOptions;
  /** The standing that each session has acknowledged. Only in memory; after a restart each is notified once more. */
  readonly #confirmed = new Map<string, string>();
  readonly #calling = new Set<string>();
  /** When sessions that did not answer are notified again. */
  readonly #retryMs = new Map<string, number>();
  #placesDueMs: number | undefined;

  constructor(options: NoticesOptions) {
    this.#options = options;
  }

  /** Returns when a notice is due, epoch ms; `undefined` when none is. */
  get dueMs(): number | undefined {
    const first = Math.min(this.#placesDueMs ?? Infinity, ...this.#retryMs.values());
    return first === Infinity ? undefined : first;
  }

  /** Records that a session knows its standing, since it just asked. */
  confirm(sessionId: string, standing: CapacityStanding): void {
    this.#confirmed.set(sessionId, JSON.stringify(standing));
  }

  /** Sends the notices that are due. Called after each change, and at {@link dueMs}. */
  sendDue(): void {
    const { table, now } = this.#options;
    const nowMs = now();
    const standings = table.startStandings();
    this.#forgetOthers(standings);
    for (const [id, dueMs] of this.#retryMs) if (dueMs <= nowMs) this.#retryMs.delete(id);
    const outdated = [...standings].flatMap(([sessionId, standing]) => {
      const isKnown = this.#confirmed.get(sessionId) === JSON.stringify(standing);
      return isKnown || this.#calling.has(sessionId) || this.#retryMs.has(sessionId) ? [] : [{ sessionId, standing }];
    });
    for (const { sessionId, standing } of outdated) if (standing.granted) this.#notify(sessionId, standing);
    const places = outdated.filter(({ standing }) => (standing.place ?? Infinity) <= MAX_NOTIFIED);
    if (places.length === 0) {
      this.#placesDueMs = undefined;
    } else if (this.#placesDueMs === undefined) {
      this.#placesDueMs = nowMs + PLACES_DELAY_MS;
    } else if (this.#placesDueMs <= nowMs) {
      this.#placesDueMs = undefined;
      for (const { sessionId, standing } of places) this.#notify(sessionId, standing);
    }
  }

  #forgetOthers(known: ReadonlyMap<string, unknown>): void {
    for (const id of this.#confirmed.keys()) if (!known.has(id)) this.#confirmed.delete(id);
    for (const id of this.#retryMs.keys()) if (!known.has(id)) this.#retryMs.delete(id);
  }

  #notify(sessionId: string, standing: CapacityStanding): void {
    const { notify, onAnswer, now, background } = this.#options;
    this.#calling.add(sessionId);
    const notified = notify(sessionId, standing).then(
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
    background(notified);
  }
}
