/**
 * The span catalogue: every span, attribute, link and event that Valet emits, once. `new Tracer<ValetSpans>(…)` holds code to
 * it; the tables of docs/specs/session-tracing.md are made from it. It imports nothing but its own parts in `spans/`.
 *
 * Code under trace needs the types and here and there a list of values; the definitions are for tools and tests, and a bundle
 * without them holds none of their text.
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
