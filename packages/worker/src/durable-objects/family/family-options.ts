/** The options that the parts which call other sessions of the family share. */
import type { DurableCallOptions } from "../core/durable-call.ts";
import type { SessionState } from "../core/session-state.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { CallPeer } from "./peers.ts";

/** The options of calls to other sessions, which are repeated until they are acknowledged. */
export interface FamilyOptions extends DurableCallOptions {
  readonly state: SessionState;
  readonly tracer: SessionTracer;
  /** Calls another session, unless it was deleted. */
  readonly callPeer: CallPeer;
}
