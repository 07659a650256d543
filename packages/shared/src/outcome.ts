/** How Valet's own spans end. */
import type { ErrorType, Outcome, SpanName, ValetSpans } from "./spans.ts";
import { type Span, StatusCode, type TimeInput } from "./tracing/index.ts";

/** A span of the catalogue. */
export type SpanOf<N extends SpanName> = Span<ValetSpans[N]["attributes"], ValetSpans[N]["links"]>;

type OutcomeAttributes<E extends ErrorType> = {
  readonly "valet.outcome"?: Outcome | undefined;
  readonly "error.type"?: E | undefined;
};

/**
 * Ends a span with its outcome. Only `error` and `lost` are errors to OpenTelemetry: what somebody asked for, or a conflict
 * that was handled, is none.
 * @param time when it ended; now unless given
 */
export function endWith<E extends ErrorType>(
  span: Pick<Span<OutcomeAttributes<E>>, "setAttributes" | "setStatus" | "end">,
  outcome: Outcome,
  errorType?: E,
  time?: TimeInput,
): void {
  span.setAttributes({ "valet.outcome": outcome, "error.type": outcome === "ok" ? undefined : errorType });
  if (outcome === "error" || outcome === "lost") span.setStatus(StatusCode.ERROR, errorType);
  span.end(time);
}
