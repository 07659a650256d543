import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Story, type Usage } from "../../../test/why-spans.ts";
import { moneyOf } from "./money.ts";
import type { WhySpan } from "./spans.ts";

const MINUTE = 60_000;
/** A call that wrote its input to the cache, and one that found nothing there and wrote it again. */
const WARM: Usage = { input: 20_000, output: 100, cacheRead: 0, cacheWrite: 20_000, cost: 0.0765 };
const COLD: Usage = { input: 20_400, output: 100, cacheRead: 0, cacheWrite: 20_400, cost: 0.078 };
/** What 20,000 tokens cost more than read from the cache. */
const LOST = (20_000 * (3.75 - 0.3)) / 1e6;

/** A message with two calls, the second at a time. */
function twoCalls(
  between: (story: Story, run: WhySpan) => void,
  secondAt: number,
  second: Partial<Usage & { model: string }> = {},
) {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: secondAt + 9000 });
  const { run } = story.attempt(message, { at: 10, to: secondAt + 8000 });
  story.chat(run, { at: 20, to: 5000, ...WARM });
  between(story, run);
  const call = story.chat(run, { at: secondAt, to: secondAt + 4000, ...COLD, ...second });
  return { money: moneyOf(story.about(message)), call };
}

describe("a lost cache", () => {
  test("after a pause that outlived it", () => {
    const { money, call } = twoCalls(
      (story, run) => story.tool(run, "bash", { at: 5000, to: 7 * MINUTE }),
      7 * MINUTE + 20,
    );
    expect(money.avoidable).toEqual([
      {
        reason: "cache_lost_idle",
        cost_usd: expect.closeTo(LOST, 12),
        known: true,
        spans: [{ sessionId: call.sessionId, traceId: call.traceId, spanId: call.spanId }],
        sentence:
          "20,000 cached tokens were paid for again: the cache was last used 7 m 00 s before, and the provider keeps it for about 5 m; that cost $0.0690 more.",
      },
    ]);
    expect(money.sentence).toMatch(/ \$0\.0690 of it was avoidable\.$/);
  });

  test("because a person was asked for longer than it lives", () => {
    const { money } = twoCalls(
      (story, run) => story.span("valet.question.wait", { at: 6000, to: 12 * MINUTE, parent: run }),
      12 * MINUTE + 500,
    );
    expect(money.avoidable).toMatchObject([{ reason: "cache_lost_person", cost_usd: expect.closeTo(LOST, 12) }]);
    expect(money.avoidable[0]?.sentence).toContain("a person was asked for 11 m 54 s of that");
  });

  test("not because of a person who was asked shortly before a long pause", () => {
    const { money } = twoCalls(
      (story, run) => story.span("valet.permission.wait", { at: 6000, to: MINUTE, parent: run }),
      12 * MINUTE,
    );
    expect(money.avoidable).toMatchObject([{ reason: "cache_lost_idle" }]);
  });

  test("because of a compaction, of which the summary's own call lost it too", () => {
    const attributes = { "valet.opencode.session.id": "ses_1" };
    const { money } = twoCalls(
      (story, run) => {
        const compaction = story.span("valet.compaction", { at: 6000, to: 9000, parent: run, attributes });
        story.chat(compaction, {
          at: 6010,
          to: 8900,
          agent: "compaction",
          input: 20_100,
          output: 900,
          cacheRead: 0,
          cost: 0.0738,
        });
      },
      9010,
      { input: 3000, cacheWrite: 3000, cost: 0.013 },
    );
    const [summary, next] = [(20_000 * (3 - 0.3)) / 1e6, (3000 * (3.75 - 0.3)) / 1e6];
    expect(money.avoidable).toMatchObject([
      { reason: "cache_lost_compaction", cost_usd: expect.closeTo(summary + next, 12), spans: [{}, {}] },
    ]);
  });

  test("because another model was used", () => {
    const { money } = twoCalls(() => {}, 6000, { model: "other" });
    expect(money.avoidable).toMatchObject([{ reason: "cache_lost_model_switch" }]);
    expect(money.avoidable[0]?.sentence).toContain("`other` was called after `demo` and had no cache");
  });

  test("because the session was restored, also between two messages and with a new conversation", () => {
    const story = new Story();
    const before = story.message("m0", { at: 0, to: 9000 });
    story.chat(story.attempt(before, { at: 10, to: 8900 }).run, { at: 20, to: 5000, ...WARM });
    story.generation = 2;
    const message = story.message("m1", { at: MINUTE, to: 2 * MINUTE });
    story.chat(story.attempt(message, { at: MINUTE, to: 2 * MINUTE }).run, {
      at: MINUTE + 10,
      to: MINUTE + 900,
      conversation: "ses_new",
      ...COLD,
    });
    expect(moneyOf(story.about(message)).avoidable).toMatchObject([
      { reason: "cache_lost_restore", cost_usd: expect.closeTo(LOST, 12) },
    ]);
    expect(moneyOf(story.about(before)).avoidable).toEqual([]);
  });

  test("for no reason that a span tells", () => {
    expect(twoCalls(() => {}, 6000).money.avoidable).toMatchObject([{ reason: "cache_lost_other" }]);
  });

  test("is none where the cache was read, where nothing was cached, or where it is too small", () => {
    expect(twoCalls(() => {}, 7 * MINUTE, { cacheRead: 19_000, cacheWrite: 1400 }).money.avoidable).toEqual([]);
    expect(twoCalls(() => {}, 7 * MINUTE, { input: 900, cacheWrite: 900 }).money.avoidable).toEqual([]);
    const story = new Story();
    const message = story.message("m1", { at: 0, to: MINUTE * 9 });
    const { run } = story.attempt(message, { at: 10, to: MINUTE * 9 });
    for (const at of [20, 7 * MINUTE])
      story.chat(run, { at, to: at + 100, input: 20_000, output: 1, cacheRead: 0, cacheWrite: 0, cost: 0.06 });
    expect(moneyOf(story.about(message)).avoidable).toEqual([]);
  });

  test("is none where a read from the cache costs as much as other input, or nothing costs anything", () => {
    const prices = ["input", "cache_read", "cache_write"];
    for (const [price, cost] of [
      [3, 0.06],
      [0, 0],
    ] as const) {
      const attributes = Object.fromEntries(prices.map((name) => [`valet.llm.price.${name}`, price]));
      for (const cacheWrite of [0, 7000, 20_400]) {
        const story = new Story();
        const message = story.message("m1", { at: 0, to: MINUTE * 9 });
        const { run } = story.attempt(message, { at: 10, to: MINUTE * 9 });
        story.chat(run, { at: 20, to: 5000, ...WARM, cost, attributes });
        story.chat(run, { at: 7 * MINUTE, to: 8 * MINUTE, ...COLD, cacheWrite, cost, attributes });
        const money = moneyOf(story.about(message));
        expect(money.avoidable).toEqual([]);
        expect(money.sentence).not.toContain("avoidable");
      }
    }
  });

  test("has an unknown cost without a price, and says so", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: MINUTE * 9 });
    const { run } = story.attempt(message, { at: 10, to: MINUTE * 9 });
    const attributes = { "valet.llm.price.cache_read": undefined };
    story.chat(run, { at: 20, to: 5000, ...WARM, attributes });
    story.chat(run, { at: 7 * MINUTE, to: 8 * MINUTE, ...COLD, attributes });
    const [entry] = moneyOf(story.about(message)).avoidable;
    expect(entry).toMatchObject({ reason: "cache_lost_idle", cost_usd: null });
    expect(entry?.sentence).toMatch(/a price is unknown, and so is what that cost\.$/);
  });
});

describe("work that was paid for in vain", () => {
  test("a failover: the calls of the model that failed in the end", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000 });
    const { turn, run } = story.attempt(message, { at: 10, to: 8000, model: "a/first", outcome: "ok" });
    const failed = story.run(turn, { at: 20, to: 3000, model: "a/first", error: "provider_overloaded" });
    story.chat(failed, { at: 30, to: 1000, ...WARM });
    story.chat(failed, { at: 1000, to: 2900, error: "provider_overloaded" });
    const next = story.run(turn, { at: 3000, to: 7000, model: "b/second", links: [["follows", failed]] });
    story.chat(next, { at: 3010, to: 6000, input: 500, output: 5, cost: 0.001 });
    expect(run.name).toBe("invoke_agent build");
    expect(moneyOf(story.about(message)).avoidable).toMatchObject([
      {
        reason: "failover",
        cost_usd: 0.0765,
        spans: [{}],
        sentence:
          "$0.0765 went to 1 call of `a/first`, which then failed with `provider_overloaded`, so that `b/second` took over.",
      },
    ]);
  });

  test("calls of which some have an unknown cost: at least what is known, and an unknown amount where that is nothing", () => {
    const failover = (first: Partial<Usage>) => {
      const story = new Story();
      const message = story.message("m1", { at: 0, to: 9000 });
      const { turn } = story.attempt(message, { at: 10, to: 8000, model: "a/first", outcome: "ok" });
      const failed = story.run(turn, { at: 20, to: 3000, model: "a/first", error: "provider_stream_cut" });
      story.chat(failed, { at: 30, to: 1000, ...first });
      story.chat(failed, { at: 1000, to: 2900, error: "provider_stream_cut" });
      story.run(turn, { at: 3000, to: 7000, model: "b/second", links: [["follows", failed]] });
      return moneyOf(story.about(message));
    };
    const money = failover(WARM);
    expect(money).toMatchObject({ cost_usd: 0.0765, known: false });
    expect(money.avoidable).toMatchObject([{ reason: "failover", cost_usd: 0.0765, known: false }]);
    expect(money.avoidable[0]?.sentence).toMatch(/^At least \$0\.0765 went to 2 calls of `a\/first`, /);
    expect(money.sentence).toMatch(/ At least \$0\.0765 of it was avoidable\.$/);

    const free = failover({ input: 10, output: 1, cost: 0 });
    expect(free.avoidable).toMatchObject([{ reason: "failover", cost_usd: null, known: false }]);
    expect(free.avoidable[0]?.sentence).toMatch(/^An unknown amount went to 2 calls/);
  });

  test("a lost attempt in which providers only refused is known to have cost nothing", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000 });
    const lost = story.attempt(message, { at: 10, to: 8000, outcome: "lost", error: "runner_lost" });
    story.chat(lost.run, { at: 30, to: 1000, error: "provider_overloaded" });
    story.attempt(message, { at: 20_000, to: 80_000 });
    expect(moneyOf(story.about(message))).toMatchObject({ known: true, avoidable: [] });
  });

  test("an attempt whose runner was lost", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000 });
    const lost = story.attempt(message, { at: 10, to: 8000, outcome: "lost", error: "runner_lost" });
    story.chat(lost.run, { at: 30, to: 1000, ...WARM });
    expect(moneyOf(story.about(message)).avoidable).toEqual([]);
    const again = story.attempt(message, { at: 20_000, to: 80_000 });
    story.chat(again.run, { at: 20_030, to: 21_000, ...WARM, cacheRead: 20_000, cacheWrite: 0, cost: 0.007 });
    expect(moneyOf(story.about(message)).avoidable).toMatchObject([{ reason: "lost_attempt", cost_usd: 0.0765 }]);
  });

  test("a call without a usable answer, but none that what was around it ended", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000, error: "empty_answer" });
    const { run } = story.attempt(message, { at: 10, to: 8900, error: "empty_answer" });
    story.chat(run, { at: 20, to: 1000, error: "agent_loop", input: 10, output: 1, cost: 0.001 });
    story.chat(run, { at: 1000, to: 2000, error: "empty_answer", input: 10, output: 1, cost: 0.002 });
    expect(moneyOf(story.about(message)).avoidable).toMatchObject([
      {
        reason: "failed_call",
        cost_usd: 0.002,
        sentence: "$0.0020 went to 1 model call without a usable answer: `empty_answer`.",
      },
    ]);
  });

  test("a try that broke off during its answer; what it cost is unknown", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000 });
    const { run } = story.attempt(message, { at: 10, to: 8900 });
    const call = story.chat(run, { at: 20, to: 8000, input: 10, output: 1, cost: 0.001 });
    story.span("valet.llm.try", { at: 20, to: 500, parent: call, error: "provider_overloaded" });
    expect(moneyOf(story.about(message))).toMatchObject({ known: true, avoidable: [] });
    story.span("valet.llm.try", { at: 600, to: 900, parent: call, error: "provider_stream_cut" });
    story.span("valet.llm.try", { at: 1000, to: 8000, parent: call });
    const money = moneyOf(story.about(message));
    expect(money).toMatchObject({ cost_usd: 0.001, known: false, avoidable: [{ reason: "retry", cost_usd: null }] });
    expect(money.avoidable[0]?.sentence).toBe(
      "1 try of 1 model call failed during the answer (`provider_stream_cut`) and was repeated; whether the provider charged for it is unknown.",
    );
  });
});

describe("a loop of one tool call", () => {
  function steps(lengths: readonly (readonly [number, number])[], tool = "bash") {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 900_000 });
    const { run } = story.attempt(message, { at: 10, to: 900_000 });
    lengths.forEach((each, index) => {
      const [at, step] = [1000 * (index + 1), `msg_${index}`];
      story.chat(run, { at, to: at + 100, input: 100, output: 10, cost: 0.001, step });
      story.tool(run, tool, { at: at + 100, to: at + 200, step, lengths: each });
    });
    return moneyOf(story.about(message)).avoidable;
  }

  test("costs what the calls after the first one cost", () => {
    expect(
      steps([
        [5, 9],
        [20, 30],
        [20, 30],
        [20, 30],
        [20, 30],
        [7, 7],
      ]),
    ).toMatchObject([{ reason: "tool_loop", cost_usd: expect.closeTo(0.003, 12), spans: [{}, {}, {}] }]);
  });

  test("is none below three, with other results, after progress, or with a tool that polls", () => {
    expect(
      steps([
        [20, 30],
        [20, 30],
      ]),
    ).toEqual([]);
    expect(
      steps([
        [20, 30],
        [20, 31],
        [20, 32],
        [20, 33],
      ]),
    ).toEqual([]);
    expect(
      steps([
        [20, 30],
        [20, 30],
        [1, 1],
        [20, 30],
        [2, 2],
        [20, 30],
      ]),
    ).toEqual([]);
    expect(
      steps(
        [
          [20, 30],
          [20, 30],
          [20, 30],
        ],
        "list_sessions",
      ),
    ).toHaveLength(0);
  });

  test("is none where captured arguments differ", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 900_000 });
    const { run } = story.attempt(message, { at: 10, to: 900_000 });
    for (const index of [1, 2, 3, 4]) {
      const step = `msg_${index}`;
      story.chat(run, { at: index * 1000, to: index * 1000 + 10, cost: 0.001, input: 1, output: 1, step });
      const attributes = { "gen_ai.tool.call.arguments": `{"file":"${index}"}` };
      story.tool(run, "read", { at: index * 1000 + 10, to: index * 1000 + 20, step, lengths: [12, 100], attributes });
    }
    expect(moneyOf(story.about(message)).avoidable).toEqual([]);
  });
});

test("whatever the spans say, no cost is negative, sums agree, and no more was avoidable than was paid", () => {
  const amount = fc.oneof(fc.integer({ min: -5, max: 60_000 }), fc.constantFrom(Number.NaN, undefined, 1e9));
  const call = fc.record({
    kind: fc.constantFrom("chat", "chat", "chat", "tool", "try", "compaction", "run", "wait", "turn"),
    at: fc.integer({ min: 0, max: 40 }),
    length: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }),
    parent: fc.nat(),
    model: fc.constantFrom("a", "b"),
    conversation: fc.constantFrom("x", "y"),
    step: fc.constantFrom("1", "2", "3"),
    error: fc.constantFrom(undefined, undefined, "provider_overloaded", "provider_stream_cut", "runner_lost"),
    generation: fc.constantFrom(1, 1, 2),
    input: amount,
    output: amount,
    cacheRead: amount,
    cacheWrite: amount,
    cost: fc.oneof(fc.double({ min: 0, max: 2, noNaN: true }), fc.constantFrom(undefined, -1, Number.NaN)),
    own: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(call, { maxLength: 25 }), (specs) => {
      const story = new Story();
      const message = story.message("m1", { at: 0, to: 100 * MINUTE });
      const other = story.message("m2", { at: 0, to: 100 * MINUTE });
      const tops = [story.attempt(message, { at: 1 }).run, story.attempt(other, { at: 1 }).run];
      for (const { kind, at, length, parent, error, generation, own, ...usage } of specs) {
        story.generation = generation;
        const under = (own ? story.spans[parent % story.spans.length] : tops[own ? 0 : 1]) ?? message;
        const times = { at: at * MINUTE, to: length === undefined ? undefined : (at + length) * MINUTE };
        const spec = { parent: under, ...times, ...(error !== undefined && { error }) };
        const attributes = { "valet.opencode.session.id": usage.conversation };
        const rest = Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== undefined));
        if (kind === "chat") story.chat(under, { ...spec, ...rest });
        else if (kind === "tool") story.tool(under, "bash", { ...spec, step: usage.step, lengths: [1, 1] });
        else if (kind === "run")
          story.run(under, { ...spec, links: [["follows", story.spans[parent % story.spans.length] ?? message]] });
        else
          story.span(
            { try: "valet.llm.try", compaction: "valet.compaction", wait: "valet.question.wait", turn: "valet.turn" }[
              kind
            ],
            { ...spec, attributes },
          );
      }
      const money = moneyOf(story.about(message));
      const costs = [money, ...money.by, ...money.avoidable].map(({ cost_usd }) => cost_usd);
      for (const cost of costs) expect(cost === null || (Number.isFinite(cost) && cost >= 0)).toBe(true);
      const total = money.by.reduce((sum, { cost_usd }) => sum + (cost_usd ?? 0), 0);
      expect(money.cost_usd ?? 0).toBe(total);
      if (money.cost_usd === null) expect(money.known).toBe(false);
      const saved = money.avoidable.reduce((sum, { cost_usd }) => sum + (cost_usd ?? 0), 0);
      expect(saved).toBeLessThanOrEqual(total * (1 + 1e-12));
      expect(money.known).toBe(money.by.every(({ known }) => known));
      expect(JSON.stringify(money)).not.toMatch(/NaN|undefined/);
      expect(moneyOf({ ...story.about(message), spans: story.spans.toReversed() }).cost_usd).toEqual(
        money.cost_usd === null ? null : expect.closeTo(money.cost_usd, 9),
      );
    }),
    { numRuns: 500 },
  );
});
