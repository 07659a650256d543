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
}

export class ChildEndings {
  readonly #store: ChildStore;
  /** The key is the child's id. */
  readonly #calls: DurableCalls<Ending, unknown>;
  readonly timerHandlers: TimerHandlers<"child-end">;

  constructor(options: FamilyOptions, store: ChildStore) {
    const { state, peer } = options;
    this.#store = store;
    this.#calls = new DurableCalls<Ending, unknown>("child-end", options, {
      delivers: "all",
      timeoutMs: PEER_CALL_MS,
      call: ({ key, payload: { reason } }) => {
        const { id: parentSessionId, ownerId, userId = ownerId, endedBy = userId, endContext } = state.record;
        const headers = endContext === undefined ? {} : contextHeaders(endContext);
        return peer(key).endAsChild(parentSessionId, reason, { ownerId, userId: endedBy, ...headers });
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
}
