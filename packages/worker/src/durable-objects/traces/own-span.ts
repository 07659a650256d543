import { DEFAULT_LIMITS, type SpanLimits } from "@valet/shared/tracing";

/** Of a deployment's limits, those that may cut or drop what a span says of its session. */
export type NamingLimits = Pick<SpanLimits, "attributes" | "attributeValueLength">;

/**
 * Whether a span is of the session: it says so, once or more, and names no other. Where the deployment's limits cut the id, its
 * beginning counts; where they leave no attribute to say it in, it counts as said.
 * @param said the values of the span's `valet.session.id`
 * @param attributes how many attributes the span has
 */
export function isOwnSpan(
  said: readonly unknown[],
  attributes: number,
  sessionId: string,
  limits: NamingLimits = DEFAULT_LIMITS,
): boolean {
  if (said.length === 0) return attributes >= limits.attributes;
  const cut = sessionId.slice(0, limits.attributeValueLength);
  return said.every((value) => value === sessionId || value === cut);
}
