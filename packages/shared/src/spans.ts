/**
 * The span catalogue: every span, attribute, link and event that Valet emits, once. `new Tracer<ValetSpans>(…)` checks code against
 * it, and the tables of docs/specs/session-tracing.md are generated from it. It imports nothing but its own parts in `spans/`.
 *
 * Instrumented code needs the types and a few lists of values. The definitions are for tools and tests; a bundle that does not
 * import them contains none of their text.
 */

export type { AttributeDefinition, AttributeKey } from "./spans/attributes.ts";
export { ATTRIBUTES, RESOURCE_ATTRIBUTES } from "./spans/attributes.ts";
export type { EventDefinition } from "./spans/catalogue.ts";
export { EVENTS, SPANS } from "./spans/catalogue.ts";
export type { SpanDefinition } from "./spans/definition.ts";
export { COMMON_ATTRIBUTES } from "./spans/definition.ts";
export { DOUBLE_KEYS } from "./spans/doubles.ts";
export * from "./spans/error-types.ts";
export * from "./spans/outcomes.ts";
export * from "./spans/session-attributes.ts";
export type {
  BrokerStep,
  EndReason,
  SpanAttributes,
  SpanName,
  ValetAttributes,
  ValetResource,
  ValetSpans,
} from "./spans/types.ts";
export * from "./spans/values.ts";
