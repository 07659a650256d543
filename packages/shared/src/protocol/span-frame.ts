/** The runner's spans on the link, and their acknowledgement. */
import { z } from "zod";
import { DROP_REASONS } from "../spans.ts";
import { ReportedSummary } from "./turn.ts";
import { id } from "./wire-fields.ts";

/** The most open spans in one frame, and of one runner at a time: no correct runner has more. */
export const MAX_OPEN_SPANS = 500;

/** Spans by their ids: for each trace its id, and the ids of its spans, 16 digits each, as one text. */
const NamedSpans = z
  .array(z.tuple([z.string().regex(/^[0-9a-f]{32}$/), z.string().regex(/^(?:[0-9a-f]{16}){1,5000}$/)]))
  .max(1000);
export type NamedSpans = z.infer<typeof NamedSpans>;

/** Returns spans as frames name them. */
export function nameSpans(spans: Iterable<{ readonly traceId: string; readonly spanId: string }>): NamedSpans {
  const traces = new Map<string, string>();
  for (const { traceId, spanId } of spans) traces.set(traceId, (traces.get(traceId) ?? "") + spanId);
  return [...traces];
}

/** Returns the spans that a frame names. */
export function spansNamed(named: NamedSpans): { readonly traceId: string; readonly spanId: string }[] {
  return named.flatMap(([traceId, ids]) => (ids.match(/.{16}/g) ?? []).map((spanId) => ({ traceId, spanId })));
}

/**
 * An `ExportTraceServiceRequest` as OTLP/JSON text with about 50 ended spans, or none. Frames are numbered from 1 for each instance,
 * and sent in order until they are acknowledged. A restarted runner delivers the frames of its predecessor under that one's
 * instance id.
 */
export const SpanFrame = z.object({
  instanceId: id,
  seq: z.number().int().positive(),
  otlp: z.string(),
  /**
   * Spans that have been open for a while, in the format of `serialiseSpan`; the last one of a span id counts. They are ordered
   * with the ends: none of them has ended in this frame or an earlier one.
   */
  open: z.array(z.string().max(65_536)).max(MAX_OPEN_SPANS).optional(),
  /** The measurements of attempts so far, if they have changed; they are the result if the runner is lost. */
  progress: z
    .array(z.object({ attemptId: id, summary: ReportedSummary }))
    .max(100)
    .optional(),
  /**
   * The ids of the spans in `otlp`, so that they are known even if that cannot be read. Absent if the runner is older. Nonsense here
   * must not lose the spans.
   */
  ids: NamedSpans.optional().catch(undefined),
  /** Spans that the runner has lost since the last frame that said so, by reason. */
  lost: z
    .array(z.object({ reason: z.enum(DROP_REASONS), ids: NamedSpans }))
    .max(20)
    .optional()
    .catch(undefined),
});
export type SpanFrame = z.infer<typeof SpanFrame>;

/** The span frames of this instance up to and including `seq` are durable. */
export const SpansAck = z.object({ instanceId: id, seq: z.number().int().nonnegative() });
export type SpansAck = z.infer<typeof SpansAck>;
