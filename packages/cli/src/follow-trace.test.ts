import { apiProblem } from "@valet/shared/protocol/api-problems";
import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { expect, test } from "vitest";
import { ApiError } from "./api-transport.ts";
import { UserError } from "./errors.ts";
import { endedText, followTrace, spanJson, spanLine } from "./follow-trace.ts";

function span(id: number, more: Partial<SkeletonSpan> = {}): SkeletonSpan {
  const spanId = id.toString(16).padStart(16, "0");
  return {
    spanId,
    name: `span ${id}`,
    kind: 1,
    startUs: id * 1000,
    isError: false,
    isSealed: false,
    links: [],
    ...more,
  };
}

type Answer = readonly SkeletonSpan[] | Error;

/** Follows a trace of which Valet gives these answers, the last one again and again. */
async function follow(answers: readonly Answer[], signal = new AbortController().signal) {
  const lines: string[] = [];
  const asked: (string | undefined)[] = [];
  const api = {
    skeleton: async (_session: string, _trace: string, after?: string): Promise<TraceSkeleton> => {
      asked.push(after);
      const answer = answers[Math.min(asked.length, answers.length) - 1] as Answer;
      if (answer instanceof Error) throw answer;
      return { chunks: [encodeSkeleton(answer)], next: String(asked.length), isComplete: true };
    },
  };
  const followed = await followTrace(api, "ses_1", "t", {
    onSpan: (each) => lines.push(spanLine(each).slice(10)),
    onNotice: (text) => text !== "" && lines.push(text),
    signal,
    pollMs: 1,
    quietMs: 20,
  });
  return { lines, asked, followed };
}

test("prints each start and each end of a span once, and stops when all spans have ended", async () => {
  const open = span(1);
  const ended = span(1, { endUs: 3_001_000, outcome: "error", isError: true });
  const { lines, asked, followed } = await follow([[open], [open, span(2, { endUs: 4000 })], [ended]]);
  expect(lines).toEqual(["   began  … span 1", "    2 ms  span 2", "   3.0 s  ✗ span 1  (error)"]);
  expect(asked.slice(0, 3)).toEqual([undefined, "1", "2"]);
  expect(endedText("ses_1", "t", followed)).toBe("The trace has ended: 2 spans, 1 error. See it: valet trace ses_1 t.");
});

test("stops although the end of a span is lost, which is then open no longer", async () => {
  const { lines, followed } = await follow([[span(1), span(2)], [span(1)], [span(1, { endUs: 5000 })]]);
  expect(lines).toEqual(["   began  … span 1", "   began  … span 2", "    4 ms  span 1"]);
  expect(followed).toEqual({ spans: 1, errors: 0 });
});

test("retries while Valet does not answer, and stops when it refuses", async () => {
  const away = new UserError("no answer");
  const { lines } = await follow([away, new ApiError(503, "busy"), [span(1, { endUs: 2000 })]]);
  expect(lines).toEqual([...Array(2).fill("Valet does not answer; trying again."), "    1 ms  span 1"]);
  const unknown = new ApiError(404, apiProblem("trace-not-found"));
  await expect(follow([unknown])).rejects.toBe(unknown);
});

test("stops on Ctrl-C while spans are open", async () => {
  const stopping = new AbortController();
  setTimeout(() => stopping.abort(), 50);
  const { followed } = await follow([[span(1)]], stopping.signal);
  expect(followed).toEqual({ spans: 1, errors: 0 });
});

test("for scripts, what is unknown of an open span is null", () => {
  expect(spanJson(span(1))).toMatchObject({ endedAt: null, duration_ms: null, outcome: null, parentSpanId: null });
  expect(spanJson(span(1, { endUs: 3500 }))).toMatchObject({ endedAt: "1970-01-01T00:00:00.003Z", duration_ms: 2.5 });
});
