/**
 * The runner's tracers. Their spans have the session's attributes and go to the outbox, sampled or not, since the session's own
 * store also keeps spans that no backend receives.
 */
import { createHash } from "node:crypto";
import { ownTraceId } from "@valet/shared/protocol/own-trace-ids";
import {
  DOUBLE_KEYS,
  type RefusedKind,
  type SpanAttributes,
  type SpanName,
  sessionAttributes,
  type ValetResource,
  type ValetSpans,
} from "@valet/shared/spans";
import {
  type AnchoredClock,
  alwaysOn,
  createAnchoredClock,
  createRandomIds,
  type DropReason,
  type IdGenerator,
  type OnDiagnostic,
  type OpenSpan,
  parentBased,
  recordDropped,
  redactAlso,
  type Sampler,
  type SpanLimits,
  type SpanProcessor,
  serialiseSpan,
  Tracer,
} from "@valet/shared/tracing";
import { SecretValues } from "../secrets/secret-values.ts";

export type RunnerTracer = Tracer<ValetSpans>;

/** The session and generation that the spans belong to. */
export interface SessionIdentity {
  readonly sessionId: string;
  readonly generation: number;
}

export interface Tracing {
  /** The clock of all tracers, which is anchored again at the start of each turn. */
  readonly clock: AnchoredClock;
  /** The tracer for the bootstrap before the session's configuration arrives, and for spans that dead processes left open. */
  readonly base: RunnerTracer;
  /** Returns the tracer for the session's configuration. */
  configure(options: { readonly enabled: boolean; readonly captureContent: boolean }): RunnerTracer;
  /** Records the number of lost spans in a `valet.trace_plane.dropped` span. */
  reportDropped(counts: ReadonlyMap<DropReason, number>): void;
  /** Records how much of what commands sent was refused in a `valet.trace_plane.refused` span. */
  reportRefused(counts: ReadonlyMap<RefusedKind, number>): void;
}

const SCOPE = { name: "@valet/runner" };

export function createTracing(
  processor: SpanProcessor,
  { sessionId, generation, spanLimits }: SessionIdentity & { readonly spanLimits?: SpanLimits },
  onDiagnostic?: OnDiagnostic,
  secrets = new SecretValues(),
): Tracing {
  const clock = createAnchoredClock();
  const sampler = withAttributes(recordDropped(parentBased(alwaysOn)), sessionAttributes(sessionId, generation));
  const ids = createOwnIds(sessionId);
  const configure: Tracing["configure"] = (options) =>
    new Tracer<ValetSpans>({
      scope: SCOPE,
      processor,
      clock,
      sampler,
      ids,
      limits: spanLimits,
      onDiagnostic,
      doubleKeys: DOUBLE_KEYS,
      redact: redactAlso((_key, value) => secrets.redact(value)),
      ...options,
    });
  const base = configure({ enabled: true, captureContent: false });
  return {
    clock,
    base,
    configure,
    reportDropped(counts) {
      const attributes: Record<string, number> = {};
      for (const [reason, spans] of counts) attributes[`valet.dropped_spans.${reason}`] = spans;
      base.startSpan("valet.trace_plane.dropped", { attributes }).end();
    },
    reportRefused(counts) {
      const attributes: Record<string, number> = {};
      for (const [kind, count] of counts) attributes[`valet.refused.${kind}`] = count;
      base.startSpan("valet.trace_plane.refused", { attributes }).end();
    },
  };
}

/** Creates ids for traces that the session accepts from its sandbox, in whatever order their spans arrive. */
function createOwnIds(sessionId: string): IdGenerator {
  const random = createRandomIds();
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  return { spanId: random.spanId, traceId: () => ownTraceId(sessionId, random.spanId(), sha256) };
}

/** Returns the OTLP resource of this process. */
export function runnerResource({ sessionId, generation }: SessionIdentity, instanceId: string): ValetResource {
  return {
    "service.name": "valet-runner",
    "service.version": RUNNER_VERSION,
    "service.instance.id": instanceId,
    "valet.session.id": sessionId,
    "valet.generation": generation,
  };
}

/** Returns a clock of epoch milliseconds with fractions, for one job. Durations measured with it are monotonic. */
export function createMillisClock(): () => number {
  const clock = createAnchoredClock();
  return () => {
    const { seconds, nanos } = clock();
    return seconds * 1000 + nanos / 1e6;
  };
}

/** Serialises an open span for a successor that must end it if this process dies; `undefined` if it is not recorded. */
export function openSpanText(span: { readonly isRecording: boolean }): string | undefined {
  // Every recording span is readable.
  return span.isRecording ? serialiseSpan(span as unknown as OpenSpan) : undefined;
}

/** The version of this package. */
export const RUNNER_VERSION = "0.3.0";

/** Adds `attributes` to every span, through the sampler, since every span passes it. */
function withAttributes(sampler: Sampler, attributes: SpanAttributes<SpanName>): Sampler {
  return (...args) => {
    const result = sampler(...args);
    return { ...result, attributes: { ...result.attributes, ...attributes } };
  };
}
