/** What the parts that call other sessions of the family have in common. */
import type { SessionCalls } from "../contract.ts";
import type { DurableCallOptions } from "../core/durable-call.ts";
import type { SessionState } from "../core/session-state.ts";
import type { SessionTracer } from "../core/session-tracer.ts";

/** What it takes to call another session until it has answered. */
export interface FamilyOptions extends DurableCallOptions {
  readonly state: SessionState;
  readonly tracer: SessionTracer;
  /** The object of another session. */
  readonly peer: (sessionId: string) => SessionCalls;
}
