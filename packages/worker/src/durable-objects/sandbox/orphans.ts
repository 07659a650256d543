/**
 * Orphans: sandboxes and snapshots of the session that nobody owns any more. A sandbox becomes an orphan if it came too late, was
 * lost, or its creation was never confirmed; a snapshot, if a newer one replaced it. The object calls the broker until that
 * confirms that the orphan is gone. The operation that left it behind has ended by then, so each call begins a trace of its own,
 * which links to that operation.
 */
import type { SpanContext } from "@valet/shared/tracing";
import type { SandboxBroker } from "../../broker/client.ts";
import { type DurableCallOptions, DurableCalls } from "../core/durable-call.ts";
import type { SandboxRef } from "../core/session-state.ts";
import type { TimerHandlers } from "../core/timers.ts";
import { type BrokerCalls, brokerErrorType } from "./broker-calls.ts";

export interface OrphansOptions extends DurableCallOptions {
  readonly calls: BrokerCalls;
  readonly broker: SandboxBroker;
  readonly sessionId: () => string;
  /** The snapshot from which the session would be restored now, if it has one. */
  readonly snapshotId: () => string | undefined;
  /** The timeout of a call of the broker, in ms. */
  readonly callMs: number;
}

/** The wait doubles from two seconds, so the last try comes most of a day after the first: by then the broker has lost it. */
const MAX_TRIES = 16;
const LONGEST_WAIT_MS = 24 * 60 * 60_000;

/** Keyed by the orphan's id; if `unheard`, by the generation for which the broker may have created a sandbox. */
type Orphan = {
  /** The span of the operation that left it behind. */
  readonly from: SpanContext;
} & (
  | {
      readonly what: "sandbox";
      readonly driver: SandboxRef["driver"];
      /** The session's snapshot when it lost the sandbox; empty if it had none. Rows of earlier versions lack it. */
      readonly keeps?: string;
    }
  | { readonly what: "snapshot" }
  | { readonly what: "unheard" }
);

interface Answer {
  readonly isDone: boolean;
  /** The sandboxes that the broker has of an unconfirmed generation, or an older one. */
  readonly found: readonly SandboxRef[];
}

export class Orphans {
  readonly #options: OrphansOptions;
  readonly #calls: DurableCalls<Orphan, Answer>;
  readonly timerHandlers: TimerHandlers<"orphan">;

  constructor(options: OrphansOptions) {
    const { callMs, retryMs } = options;
    this.#options = options;
    this.#calls = new DurableCalls<Orphan, Answer>("orphan", options, {
      delivers: "all",
      timeoutMs: callMs + retryMs,
      longestWaitMs: LONGEST_WAIT_MS,
      maxTries: MAX_TRIES,
      call: ({ key, payload }) => this.#end(key, payload),
      settle: ({ isDone, found }, { payload: { from } }) => {
        for (const sandbox of found) this.addSandbox(sandbox, from);
        return isDone ? "done" : "retry";
      },
    });
    this.timerHandlers = { orphan: this.#calls.onTimer };
  }

  /** Resumes the calls that were not acknowledged. Called when the object starts. */
  resume(): void {
    this.#calls.resume();
  }

  /** @param from the span of the operation that left it behind */
  addSandbox({ id, driver }: SandboxRef, from: SpanContext): void {
    this.#add(id, { what: "sandbox", driver, keeps: this.#options.snapshotId() ?? "", from });
  }

  addSnapshot(snapshotId: string, from: SpanContext): void {
    this.#add(snapshotId, { what: "snapshot", from });
  }

  /**
   * Adds the sandbox that the broker may have created for this generation, although its answer never arrived. The object looks
   * for it once the call must have ended at the broker.
   */
  addUnconfirmed(generation: number, from: SpanContext): void {
    this.#add(String(generation), { what: "unheard", from }, this.#options.callMs);
  }

  #add(key: string, orphan: Orphan, delayMs = 0): void {
    if (!this.#calls.has(key)) this.#calls.add(key, orphan, delayMs);
  }

  async #end(key: string, orphan: Orphan): Promise<Answer> {
    const { calls, broker } = this.#options;
    const caller = { sessionId: this.#options.sessionId(), context: undefined };
    if (orphan.what === "snapshot") return { isDone: (await broker.deleteSnapshot(key, caller)).ok, found: [] };
    if (orphan.what === "unheard") {
      const result = await broker.list(caller.sessionId, caller);
      const sandboxes = result.ok ? result.value.sandboxes : [];
      return { isDone: result.ok, found: sandboxes.filter(({ generation }) => generation <= Number(key)) };
    }
    const result = await calls.make({
      span: "valet.sandbox.delete",
      cause: orphan.from,
      attributes: {
        "valet.broker.call": "terminate",
        "valet.sandbox.id": key,
        "valet.sandbox.driver": orphan.driver,
      },
      perform: (context) => broker.terminate(key, orphan.keeps, { ...caller, context }),
      judge: (answer) =>
        answer.ok ? { outcome: "ok" } : { outcome: "error", errorType: brokerErrorType(answer.failure) },
    });
    return { isDone: result.ok, found: [] };
  }
}
