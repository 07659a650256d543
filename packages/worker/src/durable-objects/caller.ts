/** On whose behalf the object is called, as spans link to it. */
import { extractFromHeaders, type SpanContext } from "@valet/shared/tracing";
import type { CallContext } from "./contract.ts";
import type { Carrier } from "./family/family.ts";
import type { MessageOrigin } from "./queue/queue-spans.ts";

/**
 * Returns where a message comes from that another session sent.
 * @param carrier of the tool call of the parent's agent; without one no agent sent it
 */
export function originOf(
  link: MessageOrigin["link"],
  carrier: Carrier | undefined,
  parentSessionId: string | undefined,
): MessageOrigin | undefined {
  if (carrier === undefined || parentSessionId === undefined) return undefined;
  return { link, context: extractFromHeaders({ ...carrier }), parentSessionId };
}

/** Returns the span of the request that a call is part of, where it has one. */
export function callerOf({ traceparent, tracestate }: CallContext): SpanContext | undefined {
  return extractFromHeaders({ traceparent, tracestate });
}
