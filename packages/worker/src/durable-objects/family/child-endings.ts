/** Children that are to end: each is told so until its object has heard it, whichever object dies in between. */
import type { TerminateReason } from "@valet/shared/spans";
import { contextHeaders } from "@valet/shared/tracing";
import type { CallContext } from "../contract.ts";
import type { ChildRow, ChildStore } from "./child-store.ts";
import { PEER_CALL_MS } from "./family.ts";
import type { FamilyOptions } from "./family-options.ts";

const MAX_DOUBLINGS = 8;
const TIMER = "child-end";

export class ChildEndings {
  readonly #options: FamilyOptions;
  readonly #store: ChildStore;

  constructor(options: FamilyOptions, store: ChildStore) {
    this.#options = options;
    this.#store = store;
    options.timers.handle(TIMER, (id) => this.#tell(id));
  }

  /** After the object came to life: calls that the one before it made have nobody to answer to. */
  resume(): void {
    const { timers, now } = this.#options;
    for (const { id, state } of this.#store.children()) if (state === "ending") timers.set(TIMER, now(), { key: id });
  }

  /** Decides on the end of a child that is not ending yet. */
  begin({ id, state }: ChildRow, reason: TerminateReason): void {
    const { timers, now } = this.#options;
    if (state === "ending") return;
    this.#store.updateChild(id, { state: "ending", reason });
    timers.set(TIMER, now(), { key: id });
  }

  #tell(id: string): void {
    const { timers, now, transactions, background } = this.#options;
    const child = this.#store.child(id);
    if (child?.state !== "ending" || child.reason === null) return;
    const { reason, tries } = child;
    // Comes, too, if the object does not live to see the answer.
    timers.set(TIMER, now() + PEER_CALL_MS, { key: id });
    transactions.afterCommit(() => background(this.#call(id, reason, tries)));
  }

  async #call(id: string, reason: TerminateReason, tries: number): Promise<void> {
    const { peer, state, timers, now, retryMs, transactions, report } = this.#options;
    const { id: parentSessionId, ownerId, endContext } = state.record;
    const ctx: CallContext = { ownerId, ...(endContext !== undefined && contextHeaders(endContext)) };
    try {
      await peer(id).endAsChild(parentSessionId, reason, ctx);
      transactions.run(() => {
        timers.clear(TIMER, id);
        this.#store.updateChild(id, { state: "ended" });
      });
    } catch (error) {
      report(error);
      transactions.run(() => {
        this.#store.updateChild(id, { tries: tries + 1 });
        timers.set(TIMER, now() + retryMs * 2 ** Math.min(tries, MAX_DOUBLINGS), { key: id });
      });
    }
  }
}
