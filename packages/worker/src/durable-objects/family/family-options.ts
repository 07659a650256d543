/** What the parts that call other sessions of the family have in common. */
import type { SessionCalls } from "../contract.ts";
import type { SessionState } from "../core/session-state.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";

/** What it takes to call another session again and again until it has answered. */
export interface FamilyOptions {
  readonly sql: SqlStorage;
  readonly state: SessionState;
  readonly tracer: SessionTracer;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly now: () => number;
  /** Before a call that came to nothing is made again; it doubles. */
  readonly retryMs: number;
  /** The object of another session. */
  readonly peer: (sessionId: string) => SessionCalls;
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}
