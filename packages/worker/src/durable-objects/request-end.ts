/** Ends the span of the request that asked for a change, in the transaction of that change: one commit instead of two. */
import { endRequestSpan } from "@valet/shared/http/request-span";
import type { SpanAttributes } from "@valet/shared/spans";
import { parseOpenSpan } from "@valet/shared/tracing";
import type { CallContext } from "./contract.ts";
import type { Result } from "./core/result.ts";
import type { SessionTracer } from "./core/session-tracer.ts";

/** Returns further attributes of the request's span. */
export type DescribeRequest<T> = (value: T) => SpanAttributes<"POST ${string}">;

/**
 * Ends the request's span if the call did what was asked; otherwise the Worker ends it.
 * @returns the result of the call, which says so
 */
export function endRequest<T>(
  tracer: SessionTracer,
  { request }: CallContext,
  result: Result<T>,
  describe?: DescribeRequest<T>,
): Result<T> {
  const open = request === undefined || !result.ok ? undefined : parseOpenSpan(request.span);
  if (request === undefined || !result.ok || open === undefined) return result;
  const span = tracer.takeOver<`POST ${string}`>(open);
  span.setAttributes(tracer.where());
  if (describe !== undefined) span.setAttributes(describe(result.value));
  endRequestSpan(span, request.status);
  return { ...result, endsRequest: true };
}
