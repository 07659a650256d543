import type { Attributes } from "./attributes.ts";
import { isSampled, type SpanContext } from "./context.ts";
import type { SpanKind } from "./readable-span.ts";

/**
 * `drop`: not recorded. `record`: processors see it, exporters do not. `sample`: both, and the sampled flag is set. Recording
 * without sampling is possible, sampling without recording is not (OpenTelemetry SDK specification, "Sampling").
 */
export type SamplingDecision = "drop" | "record" | "sample";

export interface SamplingResult {
  readonly decision: SamplingDecision;
  /** Added to the span's. */
  readonly attributes?: Attributes;
  /** Replaces the parent's `tracestate`; empty clears it. */
  readonly traceState?: string;
}

/** Decides for each new span, before it has an id. */
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
 * Samples this share of traces, 0 to 1, deciding from the trace id alone: every service with the same ratio keeps the same
 * traces, and a higher ratio keeps all that a lower one does. The id's right 7 bytes are the random ones (Trace Context
 * Level 2, section 3.2.2.5); the upper 48 of those 56 bits decide.
 */
export function traceIdRatio(ratio: number): Sampler {
  const bound = ratio * 2 ** 48;
  return (traceId) => (Number.parseInt(traceId.slice(18, 30), 16) < bound ? SAMPLE : DROP);
}

/** Follows the parent's sampled flag; roots ask `root`. */
export function parentBased(root: Sampler): Sampler {
  return (traceId, parent, name, kind, attributes) => {
    if (parent === undefined) return root(traceId, parent, name, kind, attributes);
    return isSampled(parent) ? SAMPLE : DROP;
  };
}

/** Records what `sampler` would drop, without the sampled flag: it reaches the processors that keep such spans and no backend. */
export function recordDropped(sampler: Sampler): Sampler {
  return (traceId, parent, name, kind, attributes) => {
    const result = sampler(traceId, parent, name, kind, attributes);
    if (result.decision !== "drop") return result;
    return result === DROP ? RECORD : { ...result, decision: "record" };
  };
}
