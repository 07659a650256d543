/** The runner's spans on the link, and their acknowledgement. */
import { z } from "zod";
import { TurnSummary } from "./turn.ts";
import { id } from "./wire-fields.ts";

/** The most open spans in one frame, and of one runner at a time: no correct runner has more. */
export const MAX_OPEN_SPANS = 500;

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
    .array(z.object({ attemptId: id, summary: TurnSummary }))
    .max(100)
    .optional(),
});
export type SpanFrame = z.infer<typeof SpanFrame>;

/** The span frames of this instance up to and including `seq` are durable. */
export const SpansAck = z.object({ instanceId: id, seq: z.number().int().nonnegative() });
export type SpansAck = z.infer<typeof SpansAck>;
