/**
 * The runner's tracers. Their spans carry the session and go to the outbox, sampled or not: the session's own store keeps
 * those that no backend gets.
 */
import { createHash } from "node:crypto";
import { ownTraceId } from "@valet/shared/protocol/own-trace-ids";
import {
  DOUBLE_KEYS,
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

/** Whose spans they are. */
export interface SessionIdentity {
  readonly sessionId: string;
  readonly generation: number;
}

export interface Tracing {
  /** Of all the tracers; to be anchored anew at the start of each turn. */
  readonly clock: AnchoredClock;
  /** What was open when a process of this sandbox died is ended with it, and what the bootstrap does before it is configured. */
  readonly base: RunnerTracer;
  /** The tracer to work with once the session has said how. */
  configure(options: { readonly enabled: boolean; readonly captureContent: boolean }): RunnerTracer;
  /** Records that spans were lost, in a span of its own. */
  reportDropped(counts: ReadonlyMap<DropReason, number>): void;
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
  };
}

/** Ids whose traces the session takes from its sandbox, in whatever order their spans arrive. */
function createOwnIds(sessionId: string): IdGenerator {
  const random = createRandomIds();
  const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
  return { spanId: random.spanId, traceId: () => ownTraceId(sessionId, random.spanId(), sha256) };
}

/** What OTLP calls the resource of this process. */
export function runnerResource({ sessionId, generation }: SessionIdentity, instanceId: string): ValetResource {
  return {
    "service.name": "valet-runner",
    "service.version": RUNNER_VERSION,
    "service.instance.id": instanceId,
    "valet.session.id": sessionId,
    "valet.generation": generation,
  };
}

/** Epoch milliseconds with their fractions, for one piece of work: durations in it are monotonic. */
export function createMillisClock(): () => number {
  const clock = createAnchoredClock();
  return () => {
    const { seconds, nanos } = clock();
    return seconds * 1000 + nanos / 1e6;
  };
}

/** An open span as it is now, for who must end it should this process die; none where nothing is recorded. */
export function openSpanText(span: { readonly isRecording: boolean }): string | undefined {
  // A span that records can be read.
  return span.isRecording ? serialiseSpan(span as unknown as OpenSpan) : undefined;
}

/** The version of this package. */
export const RUNNER_VERSION = "0.3.0";

/** Puts `attributes` on every span, by the one way that no span can get round. */
function withAttributes(sampler: Sampler, attributes: SpanAttributes<SpanName>): Sampler {
  return (...args) => {
    const result = sampler(...args);
    return { ...result, attributes: { ...result.attributes, ...attributes } };
  };
}
