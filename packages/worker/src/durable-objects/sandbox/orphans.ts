/**
 * Sandboxes and snapshots that the session has no use for any more: sandboxes that came too late, were lost or were never
 * heard of, snapshots that a newer one replaced. Each is kept until the broker says that it is gone. What they are left over from
 * has ended by then: each call begins a trace of its own, which links to that.
 */
import type { SpanContext } from "@valet/shared/tracing";
import type { SandboxBroker } from "../../broker/client.ts";
import type { SandboxRef } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import { type BrokerCalls, brokerErrorType } from "./broker-calls.ts";

export interface LeftoversOptions {
  readonly sql: SqlStorage;
  readonly timers: Timers;
  readonly transactions: Transactions;
  readonly calls: BrokerCalls;
  readonly broker: SandboxBroker;
  readonly sessionId: () => string;
  readonly now: () => number;
  /** Before the second try; it doubles. */
  readonly retryMs: number;
  /** In which a call has an answer. */
  readonly callMs: number;
  readonly background: (work: Promise<void>) => void;
}

/** With a wait that doubles from two seconds, the last try is a day after the first: the broker has lost it by then. */
const MAX_TRIES = 16;

/** `unheard`: whatever the broker made for a generation without our hearing of it. */
type Kind = "sandbox" | "snapshot" | "unheard";

export class Leftovers {
  readonly #options: LeftoversOptions;

  constructor(options: LeftoversOptions) {
    this.#options = options;
    options.timers.handle("leftover", (id) => this.#end(id));
  }

  /** @param from the operation that it is left over from */
  addSandbox(sandbox: SandboxRef, from: SpanContext): void {
    this.#add(sandbox.id, "sandbox", sandbox.driver, from);
  }

  addSnapshot(snapshotId: string, from: SpanContext): void {
    this.#add(snapshotId, "snapshot", "", from);
  }

  /**
   * The broker was asked for the sandbox of this generation and its answer was not heard: there may be one. It is looked for
   * once the broker must be done with the call.
   */
  addUnheard(generation: number, from: SpanContext): void {
    this.#add(String(generation), "unheard", "", from, this.#options.callMs);
  }

  #add(id: string, kind: Kind, driver: string, from: SpanContext, delayMs = 0): void {
    const { sql, timers, now } = this.#options;
    sql.exec("INSERT OR IGNORE INTO leftovers VALUES (?, ?, ?, ?, 0)", id, kind, driver, JSON.stringify(from));
    timers.set("leftover", now() + delayMs, { key: id });
  }

  #end(id: string): void {
    const { sql, timers, now, retryMs, callMs, calls, broker, sessionId, background, transactions } = this.#options;
    const [row] = sql
      .exec("UPDATE leftovers SET tries = tries + 1 WHERE id = ? RETURNING kind, driver, parent, tries", id)
      .toArray();
    if (row === undefined) return;
    if ((row.tries as number) > MAX_TRIES) {
      sql.exec("DELETE FROM leftovers WHERE id = ?", id);
      return;
    }
    // Set before the call is made: it comes, too, if the object does not live to see the answer.
    timers.set("leftover", now() + callMs + retryMs * 2 ** (row.tries as number), { key: id });
    const ended = (isGone: boolean) => {
      if (!isGone) return timers.set("leftover", now() + retryMs * 2 ** ((row.tries as number) - 1), { key: id });
      sql.exec("DELETE FROM leftovers WHERE id = ?", id);
      timers.clear("leftover", id);
    };
    if (row.kind === "snapshot") {
      const call = broker.deleteSnapshot(id, { sessionId: sessionId(), context: undefined });
      background(call.then((result) => ended(result.ok)));
      return;
    }
    const from = JSON.parse(row.parent as string) as SpanContext;
    if (row.kind === "unheard") {
      const call = broker.list(sessionId(), { sessionId: sessionId(), context: undefined });
      background(
        call.then((result) =>
          transactions.run(() => {
            const found = result.ok ? result.value.sandboxes : [];
            for (const sandbox of found) if (sandbox.generation <= Number(id)) this.addSandbox(sandbox, from);
            ended(result.ok);
          }),
        ),
      );
      return;
    }
    calls.begin({
      span: "valet.sandbox.delete",
      cause: from,
      attributes: {
        "valet.broker.call": "terminate",
        "valet.sandbox.id": id,
        "valet.sandbox.driver": row.driver as SandboxRef["driver"],
      },
      perform: (context) => broker.terminate(id, { sessionId: sessionId(), context }),
      judge: (result) =>
        result.ok ? { outcome: "ok" } : { outcome: "error", errorType: brokerErrorType(result.failure) },
      settle: (result) => ended(result.ok),
    });
  }
}
