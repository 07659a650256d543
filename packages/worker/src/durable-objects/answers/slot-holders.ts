/**
 * Which sessions hold the sandboxes for which this one stands in line. The capacity object knows sessions of all owners; D1 knows whose
 * they are. Asked when somebody wants to know, and forgotten soon: it changes without this session.
 */

import { type CapacityHolders, MAX_HOLDERS } from "@valet/shared/protocol/capacity";
import { ownSessions } from "../../database/sessions.ts";
import { isRecent } from "../core/recent.ts";

/** How long an answer is good for, in ms. */
const FRESH_MS = 5000;

export interface SlotHoldersOptions {
  readonly db: D1Database;
  readonly ownerId: () => string;
  /** Whether the session stands in line. */
  readonly isWaiting: () => boolean;
  /** Asks the capacity object; `null` if the session does not wait there. */
  readonly ask: () => Promise<{
    readonly limit: CapacityHolders["limit"];
    readonly sessionIds: readonly string[];
  } | null>;
  readonly now: () => number;
  readonly report: (error: unknown) => void;
}

export class SlotHolders {
  readonly #options: SlotHoldersOptions;
  #known: { readonly holders: CapacityHolders; readonly readMs: number } | undefined;

  constructor(options: SlotHoldersOptions) {
    this.#options = options;
  }

  /** What was loaded a moment ago; `undefined` if the session does not wait, or nothing is known. */
  get current(): CapacityHolders | undefined {
    const { isWaiting, now } = this.#options;
    const isFresh = this.#known !== undefined && isRecent(this.#known.readMs, now(), FRESH_MS);
    return isFresh && isWaiting() ? this.#known?.holders : undefined;
  }

  /** Asks who holds the places. Never rejects: an answer without them is better than none. */
  async load(): Promise<void> {
    const { db, ownerId, isWaiting, ask, now, report } = this.#options;
    if (!isWaiting()) return;
    try {
      const shortage = await ask();
      if (shortage === null) return;
      const { limit, sessionIds } = shortage;
      const own = await ownSessions(db, ownerId(), sessionIds);
      const holders = {
        limit,
        sessions: own.slice(0, MAX_HOLDERS).map(({ id, title }) => ({ sessionId: id, title })),
        ownCount: own.length,
        otherCount: sessionIds.length - own.length,
      };
      this.#known = { holders, readMs: now() };
    } catch (error) {
      report(error);
    }
  }
}
