/** Returns the users and the span contexts of the object's callers, which records name and spans link to. */
import { extractFromHeaders, type SpanContext } from "@valet/shared/tracing";
import type { CallContext } from "./contract.ts";
import type { Asker } from "./core/asker.ts";
import type { Carrier } from "./family/family.ts";
import type { MessageOrigin } from "./queue/queue-spans.ts";

/**
 * Returns the origin of a message that another session sent.
 * @param carrier the trace context of the tool call by the parent's agent; absent if no agent sent it
 */
export function originOf(
  link: MessageOrigin["link"],
  carrier: Carrier | undefined,
  parentSessionId: string | undefined,
): MessageOrigin | undefined {
  if (carrier === undefined || parentSessionId === undefined) return undefined;
  return { link, context: extractFromHeaders({ ...carrier }), parentSessionId };
}

/** Returns the span of the request that a call is part of; `undefined` if it has none. */
export function callerOf({ traceparent, tracestate }: CallContext): SpanContext | undefined {
  return extractFromHeaders({ traceparent, tracestate });
}

/** Returns the user on whose behalf a call is made. */
export function userOf({ ownerId, userId }: CallContext): string {
  return userId ?? ownerId;
}

/** Returns who asks with a call, for records of who did what. */
export function askerOf(ctx: CallContext): Asker {
  return { userId: userOf(ctx), context: callerOf(ctx) };
}
