import fc from "fast-check";
import { describe, expect, test } from "vitest";
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
/** What a runner says of a model call: a sandbox may say anything. */
const figures = fc.dictionary(
  fc.constantFrom(
    ...["gen_ai.response.time_to_first_chunk", "valet.llm.first_content_ms", "valet.llm.last_request_ms"],
    ...["valet.last_heard_ms", "process.exit.code", "valet.dispatch.attempt"],
  ),
  fc.oneof(
    { weight: 4, arbitrary: fc.double({ min: -5, max: 5 }) },
    { weight: 4, arbitrary: fc.double({ min: -500, max: 3000 }).map((ms) => ACCEPTED_MS + ms) },
    { weight: 1, arbitrary: fc.double() },
  ),
);
/** Tools of which the small ones are joined. */
const tools = fc.integer({ min: 0, max: 60 }).map((n) => `execute_tool t${n}`);

const spans: fc.Arbitrary<WhySpan> = fc
  .record({
    sessionId: fc.constantFrom(SESSION, SESSION, "child", "other"),
    traceId: traces,
    spanId: ids,
    parentId: fc.option(ids),
    name: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...NAMES) }, tools),
    kind: fc.constantFrom(...Object.values(KINDS)),
    startMs: times,
    endMs: fc.option(times),
    outcome: fc.option(fc.constantFrom(...OUTCOMES)),
    attributes: fc.dictionary(keys, values),
    figures,
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
  .map(({ figures: told, events, startMs, endMs, attributes, ...rest }) => ({
    ...rest,
    startMs: ACCEPTED_MS + startMs,
    endMs: endMs === null ? null : ACCEPTED_MS + endMs,
    attributes: { ...attributes, ...told },
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

/** How each of a turn's spans has its parent among them. */
const SHAPES: Readonly<Record<string, (n: number, count: number) => string>> = {
  deep: (n) => (n === 0 ? "d" : `s${n - 1}`),
  wide: (n) => (n === 0 ? "d" : "s0"),
  orphaned: () => "gone",
  "in a cycle": (n, count) => `s${(n + 1) % count}`,
};

/** A message, its dispatch, and this many spans of its turn. */
function largeTurn(count: number, parentOf: (n: number, count: number) => string): WhySpan[] {
  const nameOf = (n: number) => {
    if (n === 0) return "valet.turn";
    if (n % 2 === 0) return "chat glm";
    return n % 5 === 0 ? "valet.permission.wait" : "execute_tool bash";
  };
  const span = (more: Pick<WhySpan, "spanId" | "parentId" | "name" | "service" | "attributes">, n = 0): WhySpan => ({
    ...{ sessionId: SESSION, traceId: "1", kind: 1, outcome: "ok", events: [], links: [], isSealed: false },
    ...{ startMs: ACCEPTED_MS + n / 100, endMs: ACCEPTED_MS + 60_000 - n / 100 },
    ...more,
  });
  const ofMessage = { attributes: { "valet.message.id": "m" }, service: "valet-worker" } as const;
  return [
    span({ spanId: "p", parentId: null, name: "valet.prompt", ...ofMessage }),
    span({ spanId: "d", parentId: "p", name: "valet.prompt.dispatch", ...ofMessage }),
    ...Array.from({ length: count }, (_, n) => {
      const attributes = { "gen_ai.tool.call.id": `call${n % 7}` };
      const parentId = parentOf(n, count);
      return span({ spanId: `s${n}`, parentId, name: nameOf(n), service: "valet-runner", attributes }, n);
    }),
  ];
}

const whyOfLarge = (all: readonly WhySpan[]) =>
  why({ job: message(60_000, { id: "m" }), spans: all, turns: [], nowMs: ACCEPTED_MS });

describe.each(Object.entries(SHAPES))("many spans, %s", (_shape, parentOf) => {
  test("50,000: the parts add up exactly", () => {
    expectExact(whyOfLarge(largeTurn(50_000, parentOf)).time.parts, 60_000);
  }, 60_000);

  test("eight times as many are eight times the work", () => {
    const readsOf = (count: number) => {
      let reads = 0;
      const get = (span: WhySpan, key: keyof WhySpan) => {
        reads++;
        return span[key];
      };
      const spans = largeTurn(count, parentOf).map((span) => new Proxy(span, { get }));
      expectExact(whyOfLarge(spans).time.parts, 60_000);
      return reads / count;
    };
    expect(readsOf(4000)).toBeLessThan(1.5 * readsOf(500));
  });
});
