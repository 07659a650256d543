import fc from "fast-check";
import { expect, test } from "vitest";
import { type Part, WhyView } from "../../protocol/why.ts";
import { KINDS, OUTCOMES, QUEUE_REASONS, SERVICES } from "../../spans.ts";
import { ACCEPTED_MS, message, SESSION } from "./sample-spans.ts";
import type { WhySpan } from "./spans.ts";
import { why } from "./why.ts";

const NAMES = [
  ...["valet.prompt", "valet.workflow", "valet.queue.wait", "valet.prompt.dispatch", "valet.workflow.dispatch"],
  ...["valet.turn", "valet.workflow.execute", "valet.workflow.step a", "invoke_agent build", "invoke_agent general"],
  ...["chat glm", "valet.llm.try", "valet.retry.wait", "execute_tool bash", "execute_tool task", "valet.compaction"],
  ...["valet.permission.wait", "valet.question.wait", "valet.agent.unresponsive", "valet.agent.prepare"],
  ...["valet.sandbox.spawn", "valet.sandbox.restore", "valet.sandbox.hibernate", "valet.sandbox.create"],
  ...["POST /v1/sandboxes", "valet.sandbox.copy", "valet.runner.bootstrap", "valet.runner.agent_warm_up"],
  ...[
    "valet.capacity.wait",
    "valet.child_session.spawn",
    "valet.turn.finalize",
    "valet.child_session.report",
    "valet.session.terminate",
    "of.another.version",
  ],
] as const;

const ids = fc.constantFrom(..."abcdefghijklmnop");
const traces = fc.constantFrom("1", "2", "3");
/** Milliseconds since the acceptance: most within the job, some skewed by days, some no time at all. */
const times = fc.oneof(
  { weight: 8, arbitrary: fc.double({ min: -500, max: 3000, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(-864e5, 864e5, -1e15, 1e15, Number.NaN, Infinity) },
);
const keys = fc.constantFrom("valet.message.id", "valet.channel.id", "gen_ai.tool.call.id", "valet.queue.reason");
const values = fc.constantFrom("m", "main", "runner_busy", "sandbox_restoring");

const spans: fc.Arbitrary<WhySpan> = fc
  .record({
    sessionId: fc.constantFrom(SESSION, SESSION, "child", "other"),
    traceId: traces,
    spanId: ids,
    parentId: fc.option(ids),
    name: fc.constantFrom(...NAMES),
    kind: fc.constantFrom(...Object.values(KINDS)),
    startMs: times,
    endMs: fc.option(times),
    outcome: fc.option(fc.constantFrom(...OUTCOMES)),
    attributes: fc.dictionary(keys, values),
    seconds: fc.option(fc.double({ min: -5, max: 5 })),
    events: fc.array(fc.tuple(times, fc.constantFrom(...QUEUE_REASONS)), { maxLength: 4 }),
    links: fc.array(
      fc.record({
        traceId: traces,
        spanId: ids,
        type: fc.constantFrom("waited_on", "collected", "follows", "caused_by", "spawned_by", null),
      }),
      { maxLength: 3 },
    ),
    isSealed: fc.boolean(),
    service: fc.option(fc.constantFrom(...SERVICES)),
  })
  .map(({ seconds, events, startMs, endMs, attributes, ...rest }) => ({
    ...rest,
    startMs: ACCEPTED_MS + startMs,
    endMs: endMs === null ? null : ACCEPTED_MS + endMs,
    attributes: { ...attributes, ...(seconds !== null && { "gen_ai.response.time_to_first_chunk": seconds }) },
    events: events.map(([atMs, reason]) => ({
      name: "valet.queue.reason",
      atMs: ACCEPTED_MS + atMs,
      attributes: { "valet.queue.reason": reason },
    })),
  }));

function expectExact(parts: readonly Part[], wholeMs: number): void {
  expect(parts.reduce((total, { ms }) => total + ms, 0)).toBe(wholeMs);
  for (const part of parts) {
    expect(part.ms).toBeGreaterThan(0);
    expect(Number.isInteger(part.ms)).toBe(true);
    if (part.parts.length > 0) expectExact(part.parts, part.ms);
  }
}

test("any forest of traces gives parts that are never negative and add up exactly", () => {
  fc.assert(
    fc.property(
      fc.array(spans, { maxLength: 40 }),
      fc.option(fc.integer({ min: 0, max: 2500 })),
      fc.integer({ min: 0, max: 2500 }),
      (forest, endedMs, nowMs) => {
        const job = message(endedMs, { id: "m" });
        const others = ["child", "other"].map((sessionId) => ({
          sessionId,
          reading: "read" as const,
          jobs: [{ job: message(endedMs, { id: "m", sessionId }), turns: [] }],
        }));
        const view = why({ job, spans: forest, turns: [], others, nowMs: ACCEPTED_MS + nowMs });
        expect(view.time.wall_ms).toBe(endedMs ?? nowMs);
        expectExact(view.time.parts, view.time.wall_ms);
        expect(view.time.course.reduce((total, { ms }) => total + ms, 0)).toBe(view.time.wall_ms);
        for (const { time } of view.sessions.flatMap(({ work }) => work)) expectExact(time.parts, time.wall_ms);
        expect(WhyView.parse(view)).toEqual(view);
      },
    ),
    { numRuns: 2000 },
  );
});

test("50,000 spans, deep, wide, orphaned or in a cycle, take seconds, not minutes", () => {
  const many = (parentOf: (n: number) => string | null) =>
    Array.from(
      { length: 50_000 },
      (_, n): WhySpan => ({
        sessionId: message(null).sessionId,
        traceId: "1",
        spanId: `s${n}`,
        parentId: parentOf(n),
        name:
          n === 0
            ? "valet.turn"
            : n % 2 === 0
              ? "chat glm"
              : n % 5 === 0
                ? "valet.permission.wait"
                : "execute_tool bash",
        kind: 1,
        startMs: ACCEPTED_MS + n / 100,
        endMs: ACCEPTED_MS + 60_000 - n / 100,
        outcome: "ok",
        attributes: { "gen_ai.tool.call.id": `call${n % 7}` },
        events: [],
        links: [],
        isSealed: false,
        service: "valet-runner",
      }),
    );
  const own: WhySpan[] = many(() => null)
    .slice(0, 2)
    .map((each, n) => ({
      ...each,
      spanId: n === 0 ? "p" : "d",
      parentId: n === 0 ? null : "p",
      name: n === 0 ? "valet.prompt" : "valet.prompt.dispatch",
      attributes: { "valet.message.id": "m" },
      service: "valet-worker",
    }));
  const shapes = {
    deep: (n: number) => (n === 0 ? "d" : `s${n - 1}`),
    wide: (n: number) => (n === 0 ? "d" : "s0"),
    orphans: () => "gone",
    cycle: (n: number) => `s${(n + 1) % 50_000}`,
  };
  for (const [shape, parentOf] of Object.entries(shapes)) {
    const all = [...own, ...many(parentOf)];
    const begunMs = performance.now();
    const view = why({ job: message(60_000, { id: "m" }), spans: all, turns: [], nowMs: ACCEPTED_MS });
    expectExact(view.time.parts, 60_000);
    expect(performance.now() - begunMs, shape).toBeLessThan(15_000);
  }
}, 90_000);
