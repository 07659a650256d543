import type { Attributes } from "./attributes.ts";
import { isSampled, type SpanContext } from "./context.ts";
import type { SpanKind } from "./readable-span.ts";

/**
 * `drop`: the span is not recorded. `record`: processors receive it, exporters do not. `sample`: both do, and the sampled flag is
 * set. Recording without sampling is possible, sampling without recording is not (OpenTelemetry SDK specification, "Sampling").
 */
export type SamplingDecision = "drop" | "record" | "sample";

export interface SamplingResult {
  readonly decision: SamplingDecision;
  /** Attributes to add to the span. */
  readonly attributes?: Attributes;
  /** Replaces the parent's `tracestate`; empty clears it. */
  readonly traceState?: string;
}

/** Decides about each new span, before it has an id. */
export type Sampler = (
  traceId: string,
  parent: SpanContext | undefined,
  name: string,
  kind: SpanKind,
  attributes: Attributes | undefined,
) => SamplingResult;

const DROP: SamplingResult = { decision: "drop" };
const RECORD: SamplingResult = { decision: "record" };
const SAMPLE: SamplingResult = { decision: "sample" };

export const alwaysOn: Sampler = () => SAMPLE;
export const alwaysOff: Sampler = () => DROP;

/**
 * Returns a sampler for this share of traces, 0 to 1. It decides from the trace id alone: every service with the same ratio samples
 * the same traces, and a higher ratio samples all traces of a lower one. The id's right 7 bytes are random (Trace Context Level 2,
 * section 3.2.2.5); the upper 48 of those 56 bits decide.
 */
export function traceIdRatio(ratio: number): Sampler {
  const bound = ratio * 2 ** 48;
  return (traceId) => (Number.parseInt(traceId.slice(18, 30), 16) < bound ? SAMPLE : DROP);
}

/** Returns a sampler that follows the parent's sampled flag; for root spans it calls `root`. */
export function parentBased(root: Sampler): Sampler {
  return (traceId, parent, name, kind, attributes) => {
    if (parent === undefined) return root(traceId, parent, name, kind, attributes);
    return isSampled(parent) ? SAMPLE : DROP;
  };
}

/** Returns a sampler that records what `sampler` drops, without the sampled flag: processors receive it, backends do not. */
export function recordDropped(sampler: Sampler): Sampler {
  return (traceId, parent, name, kind, attributes) => {
    const result = sampler(traceId, parent, name, kind, attributes);
    if (result.decision !== "drop") return result;
    return result === DROP ? RECORD : { ...result, decision: "record" };
  };
}
