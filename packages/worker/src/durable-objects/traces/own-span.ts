import { DEFAULT_LIMITS, type SpanLimits } from "@valet/shared/tracing";

/** The deployment's limits that may cut or drop a span's session id. */
export type NamingLimits = Pick<SpanLimits, "attributes" | "attributeValueLength">;

/**
 * Returns whether a span belongs to the session: it names this session, once or more, and no other. When the
 * deployment's limits cut the id, its beginning suffices; when they leave no attribute for it, it counts as named.
 * @param values the values of the span's `valet.session.id`
 * @param attributes how many attributes the span has
 */
export function isOwnSpan(
  values: readonly unknown[],
  attributes: number,
  sessionId: string,
  limits: NamingLimits = DEFAULT_LIMITS,
): boolean {
  if (values.length === 0) return attributes >= limits.attributes;
  const cut = sessionId.slice(0, limits.attributeValueLength);
  return values.every((value) => value === sessionId || value === cut);
}
