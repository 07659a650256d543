/**
 * Spans of programs that the agent's commands ran. They are shown and exported, and decide nothing: such a program chooses their names
 * and attributes. Pure.
 */
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { ADOPTED_KEY } from "@valet/shared/spans";

interface KeyValue {
  readonly key?: unknown;
  readonly value?: { readonly boolValue?: unknown } | undefined;
}

/** The resource's mark, which the runner sets, and the span's, which the object sets. */
export const ADOPTED_MARK = { key: ADOPTED_KEY, value: { boolValue: true } };

/** Returns whether spans with this resource are of another program. @param resource unchecked */
export function isAdoptedResource(resource: unknown): boolean {
  const { attributes } = (resource ?? {}) as { readonly attributes?: unknown };
  return (
    Array.isArray(attributes) &&
    attributes.some((each: KeyValue | null) => each?.key === ADOPTED_KEY && each.value?.boolValue === true)
  );
}

/** Returns whether a span is marked as adopted. */
export function isAdoptedSpan(attributes: readonly { readonly key: string }[]): boolean {
  return attributes.some(({ key }) => key.startsWith(ADOPTED_KEY));
}

/** Returns what counts of an adopted span: it neither names its trace, which Valet's own do, nor has an outcome, a seal or a price. */
export function asAdopted<S extends SkeletonSpan & { readonly level: 0 | 1 | 2 }>(span: S): S {
  const level = span.level === 0 ? 0 : 2;
  return {
    ...span,
    level,
    outcome: undefined,
    isSealed: false,
    lastSeenMs: undefined,
    usage: undefined,
    isCostPartial: undefined,
    isAdopted: true,
  };
}

/** Returns whether an adopted span may have an attribute: of Valet's those that the runner sets. */
export function mayBeAdopted(key: string): boolean {
  return !key.startsWith("valet.") || key === "valet.generation" || key === "valet.adopted.trace_id";
}
