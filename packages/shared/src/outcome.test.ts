import { expect, test } from "vitest";
import { endWith } from "./outcome.ts";
import { OUTCOMES, type ValetSpans } from "./spans.ts";
import { attributesToObject, type ReadableSpan, Tracer, toEpochTime } from "./tracing/index.ts";

const ended: ReadableSpan[] = [];
const tracer = new Tracer<ValetSpans>({
  scope: { name: "test" },
  sink: { onStart: () => {}, onEnd: (span) => ended.push(span) },
});

test("an outcome is an error to OpenTelemetry only where something went wrong", () => {
  for (const outcome of OUTCOMES)
    endWith(tracer.startSpan("valet.turn.finalize"), outcome, "runner_lost", 1_800_000_000_000);
  const seen = ended.map(({ statusCode, statusMessage, attributes }) => {
    const { "valet.outcome": outcome, "error.type": errorType } = attributesToObject([...attributes]);
    return [outcome, errorType, statusCode, statusMessage];
  });
  expect(seen).toEqual([
    ["ok", undefined, 0, ""],
    ["error", "runner_lost", 2, "runner_lost"],
    ["aborted", "runner_lost", 0, ""],
    ["superseded", "runner_lost", 0, ""],
    ["skipped", "runner_lost", 0, ""],
    ["lost", "runner_lost", 2, "runner_lost"],
  ]);
  expect(ended[0]?.endTime).toEqual(toEpochTime(1_800_000_000_000));
});
