/** What the Worker is bound to, and how it reaches the objects of sessions. */
import type { CapacityCalls } from "./durable-objects/capacity/capacity-calls.ts";
import type { SessionCalls } from "./durable-objects/contract.ts";

/**
 * Bindings, and variables by their names. Variables are text, except where somebody configured JSON. The objects are known by
 * what they answer, not by their classes, so that nothing that only calls one depends on how it works.
 */
export interface Env {
  readonly SESSION_AGENT: DurableObjectNamespace<SessionCalls & Rpc.DurableObjectBranded>;
  readonly CAPACITY: DurableObjectNamespace<CapacityCalls & Rpc.DurableObjectBranded>;
  readonly DB: D1Database;
  /** Counts each owner's changes; nothing is limited where it is not bound. */
  readonly CHANGES_LIMIT?: RateLimit;
  /** Counts each address's attempts to sign in; nothing is limited where it is not bound. */
  readonly SIGN_INS_LIMIT?: RateLimit;
  /** The files of the page; without it the Worker serves the API alone. */
  readonly ASSETS?: Fetcher;
  /** Sends webhooks for the Worker, where its own requests could reach a private network (protocol/public-egress.ts). */
  readonly PUBLIC_EGRESS?: Fetcher;
  readonly [variable: string]: unknown;
}

/** Returns the object of a session, to be called. */
export function stubOf(env: Env, sessionId: string): SessionCalls {
  return env.SESSION_AGENT.get(env.SESSION_AGENT.idFromName(sessionId));
}
