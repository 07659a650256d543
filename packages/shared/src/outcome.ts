/** Ends Valet's own spans with an outcome. */
import {
  type ErrorType,
  type FailureType,
  isFailureType,
  type Outcome,
  type OutcomeReason,
  type SpanName,
  type ValetSpans,
} from "./spans.ts";
import { type Span, StatusCode, type TimeInput } from "./tracing/index.ts";

/** A span of the catalogue. */
export type SpanOf<N extends SpanName> = Span<ValetSpans[N]["attributes"], ValetSpans[N]["links"]>;

type OutcomeAttributes = {
  readonly "valet.outcome"?: Outcome | undefined;
  readonly "error.type"?: ErrorType | undefined;
  readonly "valet.outcome.reason"?: ErrorType | undefined;
};

/**
 * Ends a span with its outcome. Only `error` and `lost` set the status to ERROR, and only they have an `error.type`. An end that
 * somebody requested, or a handled conflict, is no error: its reason is `valet.outcome.reason`. The status has no description,
 * since the conventions advise against one that repeats `error.type`.
 * @param time when it ended; now by default
 */
export function endWith<A extends OutcomeAttributes>(
  span: Pick<Span<A>, "setAttributes" | "setStatus" | "end">,
  outcome: Outcome,
  reason?: NonNullable<A["error.type"] | A["valet.outcome.reason"]>,
  time?: TimeInput,
): void {
  const { errorType, outcomeReason } = whyOf(outcome, reason);
  (span as Pick<Span<OutcomeAttributes>, "setAttributes">).setAttributes({
    "valet.outcome": outcome,
    "error.type": errorType,
    "valet.outcome.reason": outcomeReason,
  });
  if (isFailure(outcome)) span.setStatus(StatusCode.ERROR);
  span.end(time);
}

/** Returns the reason of an outcome under its name for that outcome, as spans, views and records show it. */
export function whyOf(
  outcome: Outcome,
  reason: ErrorType | null | undefined,
): { readonly errorType?: FailureType; readonly outcomeReason?: OutcomeReason } {
  if (outcome === "ok" || reason === null || reason === undefined) return {};
  if (isFailure(outcome)) return { errorType: isFailureType(reason) ? reason : "_OTHER" };
  return isFailureType(reason) ? {} : { outcomeReason: reason };
}

/** Returns whether the outcome is an error to OpenTelemetry. */
function isFailure(outcome: Outcome): boolean {
  return outcome === "error" || outcome === "lost";
}
