import { expect, test } from "vitest";
import { endWith, whyOf } from "./outcome.ts";
import {
  ERROR_TYPES,
  ERRORS,
  type ErrorType,
  isFailureType,
  OUTCOMES,
  type Outcome,
  type ValetSpans,
} from "./spans.ts";
import { attributesToObject, type ReadableSpan, SpanKind, Tracer, toEpochTime } from "./tracing/index.ts";

/** Ends a turn and returns the attributes, status and end of its span. */
function ending(outcome: Outcome, reason?: ErrorType) {
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer<ValetSpans>({
    scope: { name: "test" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  endWith(
    tracer.startSpan("valet.turn", { kind: SpanKind.CONSUMER }),
    outcome,
    reason as "runner_lost",
    1_800_000_000_000,
  );
  const [span] = ended as [ReadableSpan];
  const { attributes, statusCode, statusMessage, endTime } = span;
  return { ...attributesToObject([...attributes]), statusCode, statusMessage, endTime };
}

test.each(OUTCOMES)("only the outcomes error and lost are errors to OpenTelemetry", (outcome) => {
  const isFailure = outcome === "error" || outcome === "lost";
  expect(ending(outcome).statusCode).toBe(isFailure ? 2 : 0);
  expect(ending(outcome).endTime).toEqual(toEpochTime(1_800_000_000_000));
});

test.each(ERROR_TYPES)("%s has an error.type for failures and a reason for other outcomes", (type) => {
  for (const outcome of ERRORS[type].outcomes) {
    const { statusCode, statusMessage, endTime: _, ...attributes } = ending(outcome, type);
    const why = isFailureType(type) ? { "error.type": type } : { "valet.outcome.reason": type };
    expect(attributes).toEqual({ "valet.outcome": outcome, ...why });
    expect([statusCode, statusMessage]).toEqual(isFailureType(type) ? [2, ""] : [0, ""]);
  }
});

test("a reason does not turn another outcome into an error, and no failure lacks a type", () => {
  expect(whyOf("aborted", "runner_lost")).toEqual({});
  expect(whyOf("error", "user_abort")).toEqual({ errorType: "_OTHER" });
  expect(whyOf("ok", "user_abort")).toEqual({});
});
