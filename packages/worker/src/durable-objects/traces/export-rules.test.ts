import type { SendResult } from "@valet/shared/tracing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ExportState, FIRST_STATE, STOP_AFTER_MS, settle } from "./export-rules.ts";
import { partOfRequest } from "./trace-text.ts";

const ANSWERS: Record<string, SendResult> = {
  ok: { outcome: "delivered", rejectedSpans: 0, message: "" },
  busy: { outcome: "retry", reason: "HTTP 503", status: 503 },
  asked: { outcome: "retry", reason: "HTTP 429", status: 429, retryAfterMs: 0 },
  away: { outcome: "retry", reason: "ECONNREFUSED" },
  held: { outcome: "held", reason: "HTTP 401", status: 401 },
  refused: { outcome: "refused", reason: "HTTP 400", status: 400 },
  large: { outcome: "refused", reason: "HTTP 413", status: 413 },
};

test("whatever the backend answers: each span is settled once and in order, and no attempt follows a failure at once", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.constantFrom(...Object.keys(ANSWERS)), { maxLength: 60 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (segments, answers, random) => {
        let state: ExportState = FIRST_STATE;
        let nowMs = 1;
        const settled: string[] = [];
        const all = segments.flatMap((spans, i) => Array.from({ length: spans }, (_, span) => `${i + 1}/${span}`));
        // Finally the backend accepts everything.
        for (const answer of [...answers, ...all.map(() => "ok")]) {
          const segmentId = state.segment_id + 1;
          const count = segments[segmentId - 1];
          if (count === undefined) break;
          const isInParts = state.part_of === segmentId;
          const first = isInParts ? state.settled_spans : 0;
          const spans = isInParts ? Math.min(state.part_spans || count, count - first) : count;
          expect(spans).toBeGreaterThan(0);
          const part = { segmentId, spans, isLast: first + spans === count };
          const next = settle(state, part, ANSWERS[answer] as SendResult, {
            nowMs,
            newestSegment: segments.length,
            random,
          });
          const isSettled = answer === "ok" || next.lost !== undefined;
          if (isSettled) for (let i = 0; i < spans; i++) settled.push(`${segmentId}/${first + i}`);
          expect(isSettled).toBe(["ok", "refused"].includes(answer) || (answer === "large" && spans === 1));
          if (!isSettled && answer !== "large") {
            expect(next.state.not_before_ms).toBeGreaterThanOrEqual(nowMs + 500);
            expect(next.state.not_before_ms).toBeLessThanOrEqual(nowMs + 1.2 * 3_600_000 + 1);
          }
          expect(next.state.failing_since_ms === null).toBe(
            answer === "ok" || (answer === "large" && spans > 1 && state.failing_since_ms === null),
          );
          state = next.state;
          nowMs = Math.max(nowMs, state.not_before_ms) + 1;
        }
        expect(settled).toEqual(all);
      },
    ),
  );
});

test("the export stops after a day and not before, whatever is requested or refused meanwhile", () => {
  const now = { nowMs: STOP_AFTER_MS, newestSegment: 7, random: 0.5 };
  const part = { segmentId: 7, spans: 2, isLast: true };
  const failing = { ...FIRST_STATE, segment_id: 6, attempts: 30, failing_since_ms: 1, trying_since_ms: 1 };
  for (const answer of ["busy", "away", "held"]) {
    const early = settle(failing, part, ANSWERS[answer] as SendResult, now);
    expect(early.state.stopped_at).toBeNull();
    const late = settle(failing, part, ANSWERS[answer] as SendResult, { ...now, nowMs: STOP_AFTER_MS + 1 });
    expect(late.state).toMatchObject({ stopped_at: 7, segment_id: 6, failing_since_ms: 1 });
    expect(late.retryInMs).toBeUndefined();
  }
});

test("the parts of a request contain all its spans, once and in order, each under its resource and scope", () => {
  const groups = fc.array(fc.array(fc.nat({ max: 4 }), { maxLength: 3 }), { maxLength: 4 });
  fc.assert(
    fc.property(groups, fc.integer({ min: 1, max: 5 }), (resources, most) => {
      let id = 0;
      const resourceSpans = resources.map((scopes, resource) => ({
        resource: { resource },
        scopeSpans: scopes.map((spans, scope) => ({
          scope: { scope },
          spans: Array.from({ length: spans }, () => ({ traceId: "t", spanId: `${resource}/${scope}/${id++}` })),
        })),
      }));
      const text = JSON.stringify({ resourceSpans });
      const seen: string[] = [];
      for (let first = 0; first < id; first += most) {
        const part = partOfRequest(text, first, most);
        const names = JSON.parse(part.text).resourceSpans.flatMap(
          (each: {
            resource: { resource: number };
            scopeSpans: { scope: { scope: number }; spans: { spanId: string }[] }[];
          }) =>
            each.scopeSpans.flatMap(({ scope, spans }) => {
              expect(spans.every(({ spanId }) => spanId.startsWith(`${each.resource.resource}/${scope.scope}/`))).toBe(
                true,
              );
              return spans.map(({ spanId }) => spanId);
            }),
        );
        expect(part.spans).toBe(names.length);
        expect(part.left).toBe(id - first - names.length);
        seen.push(...names);
      }
      expect(seen.map((each) => Number(each.split("/")[2]))).toEqual(Array.from({ length: id }, (_, i) => i));
    }),
  );
});
