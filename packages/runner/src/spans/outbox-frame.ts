/** The frames of the outbox: what each holds until it is acknowledged, and how it is sent. */
import { nameSpans, type SpanFrame } from "@valet/shared/protocol/span-frame";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { encodeFrame } from "./frame-text.ts";
import type { LoggedFrame, LoggedSpan } from "./left-spans.ts";

/** Spans that are lost, as the next frame names them. */
export type Lost = NonNullable<SpanFrame["lost"]>;

export interface SpanIds {
  readonly traceId: string;
  readonly spanId: string;
}

export interface Frame extends LoggedFrame {
  readonly instanceId: string;
  readonly resource: string;
  readonly spans: LoggedSpan[];
  open: readonly string[];
  progress: NonNullable<SpanFrame["progress"]>;
  lost: Lost;
  bytes: number;
}

/** Returns a frame as it is sent. */
export function toSpanFrame({ instanceId, seq, resource, spans, open, progress, lost }: Frame): SpanFrame {
  return {
    instanceId,
    seq,
    otlp: encodeFrame(resource, spans),
    ...withoutUndefined({
      ids: spans.length > 0 ? nameSpans(spans.flatMap(idsOf)) : undefined,
      lost: lost.length > 0 ? [...lost] : undefined,
      open: open.length > 0 ? [...open] : undefined,
      progress: progress.length > 0 ? progress : undefined,
    }),
  };
}

/** Returns the ids of a span; of one that another version wrote, if they are where this one writes them. */
export function idsOf({ span }: LoggedSpan): SpanIds[] {
  const [, traceId, spanId] = /^\{"traceId":"([0-9a-f]{32})","spanId":"([0-9a-f]{16})"/.exec(span) ?? [];
  return traceId === undefined || spanId === undefined ? [] : [{ traceId, spanId }];
}
