/** Terminates children: calls each child's object until it acknowledges, even if either object dies in between. */
import type { TerminateReason } from "@valet/shared/spans";
import { contextHeaders } from "@valet/shared/tracing";
import { DurableCalls } from "../core/durable-call.ts";
import type { TimerHandlers } from "../core/timers.ts";
import type { ChildRow, ChildStore } from "./child-store.ts";
import { PEER_CALL_MS } from "./family.ts";
import type { FamilyOptions } from "./family-options.ts";

interface Ending {
  readonly reason: TerminateReason;
  /** Present if the child is deleted, too: the user who asked for that. */
  readonly deletedBy?: string | null;
}

export class ChildEndings {
  readonly #store: ChildStore;
  /** The key is the child's id. */
  readonly #calls: DurableCalls<Ending, unknown>;
  readonly timerHandlers: TimerHandlers<"child-end">;

  constructor(options: FamilyOptions, store: ChildStore) {
    const { state, callPeer } = options;
    this.#store = store;
    this.#calls = new DurableCalls<Ending, unknown>("child-end", options, {
      delivers: "all",
      timeoutMs: PEER_CALL_MS,
      call: ({ key, payload: { reason, deletedBy } }) => {
        const { id: parentSessionId, ownerId, userId = ownerId, endedBy = userId, endContext } = state.record;
        const ctx = { ownerId, userId: endedBy, ...(endContext === undefined ? {} : contextHeaders(endContext)) };
        return callPeer<void>(key, (child) =>
          deletedBy === undefined
            ? child.endAsChild(parentSessionId, reason, ctx)
            : child.deleteAsChild(parentSessionId, deletedBy, ctx),
        );
      },
      settle: (_answer, { key }) => {
        store.updateChild(key, { state: "ended" });
        return "done";
      },
    });
    this.timerHandlers = { "child-end": this.#calls.onTimer };
  }

  /** Continues pending calls after the object has started. */
  resume(): void {
    this.#calls.resume();
  }

  /** Terminates a child that is not ending yet. */
  begin({ id, state }: ChildRow, reason: TerminateReason): void {
    if (state === "ending") return;
    this.#store.updateChild(id, { state: "ending", reason });
    this.#calls.add(id, { reason });
  }

  /** Deletes a child, also one that has ended. */
  delete({ id, state }: ChildRow, deletedBy: string | null): void {
    const reason = "parent_session_terminated";
    if (state !== "ended") this.#store.updateChild(id, { state: "ending", reason });
    this.#calls.add(id, { reason, deletedBy });
  }
}
