import fc from "fast-check";
import { expect, test } from "vitest";
import type { Schemas } from "../api/client.ts";
import type { Turn } from "./turns.ts";
import { type Call, costSteps, stemsText, tokenStems } from "./usage.ts";

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const usd = fc.integer({ min: 0, max: 5_000_000 }).map((micros) => micros / 1e6);
const call: fc.Arbitrary<Call> = fc.record({
  atMs: fc.integer({ min: 0, max: 1_000_000 }),
  usage: fc.record({
    input: maybe(fc.nat(200_000)),
    cached: maybe(fc.nat(300_000)),
    costUsd: maybe(usd),
  }),
});
const course = fc.array(
  fc.record({
    calls: fc.array(call, { maxLength: 6 }),
    cost: fc.option(usd),
    input: fc.option(fc.nat(900_000)),
    count: fc.option(fc.nat(9)),
  }),
  { maxLength: 8 },
);

type Course = typeof course extends fc.Arbitrary<infer Each> ? Each : never;

function turnsOf(all: Course) {
  const turns = all.map(({ cost, input, count }, index): Turn => {
    const record = { cost_usd: cost, tokens_input: input, tokens_cache_read: null, model_calls: count };
    return {
      id: String(index),
      number: index + 1,
      messageId: `msg_${index}`,
      channel: "main",
      attempt: 1,
      startMs: 0,
      endMs: 1_000_000 + index,
      traceIds: [],
      record: record as unknown as Schemas["TurnRecord"],
    };
  });
  return { turns, calls: new Map(all.map(({ calls }, index) => [String(index), calls])) };
}

test("the cost ends at the sum of the records, and never falls, whatever is known of the calls", () => {
  fc.assert(
    fc.property(course, (all) => {
      const { turns, calls } = turnsOf(all);
      const steps = costSteps(turns, calls, -1);
      expect(steps.every(({ usd }, index) => usd >= (steps[index - 1]?.usd ?? 0) - 1e-9)).toBe(true);
      const expected = all.reduce(
        (sum, each) => sum + (each.cost ?? each.calls.reduce((own, { usage }) => own + (usage.costUsd ?? 0), 0)),
        0,
      );
      expect(Math.abs((steps.at(-1)?.usd ?? 0) - expected)).toBeLessThanOrEqual(1e-5 * Math.max(1, expected));
    }),
  );
});

test("each call whose tokens are known has a stem; a turn without such calls has one, and no cached part is larger than its whole", () => {
  fc.assert(
    fc.property(course, (all) => {
      const { turns, calls } = turnsOf(all);
      const stems = tokenStems(turns, calls);
      all.forEach((each, index) => {
        const own = stems.filter(({ messageId }) => messageId === `msg_${index}`);
        const known = each.calls.filter(({ usage }) => usage.input !== undefined).length;
        expect(own).toHaveLength(known > 0 ? known : each.input === null ? 0 : 1);
      });
      for (const { input, cached } of stems) expect(cached ?? 0).toBeLessThanOrEqual(input);
      expect(stems.every(({ atMs }, index) => atMs >= (stems[index - 1]?.atMs ?? 0))).toBe(true);
    }),
  );
});

test("what the stems stand for is said", () => {
  const stem = (calls: number) => ({ atMs: 0, input: 1, cached: null, calls, messageId: undefined });
  expect(stemsText([stem(1)])).toBe("1 call");
  expect(stemsText([stem(1), stem(1), stem(7)])).toBe("2 calls, the mean of 1 turn, which is too small to show each");
});
