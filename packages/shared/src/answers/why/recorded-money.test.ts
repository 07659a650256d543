import { expect, test } from "vitest";
import { BEGAN_MS, Story } from "../../../test/why-spans.ts";
import type { TurnRecord } from "../../protocol/session-view.ts";
import { moneyOf } from "./money.ts";
import type { WhyInput } from "./spans.ts";

const CALL = { input: 8000, output: 100, cost: 0.01 };
const RECORD = {
  attempt_id: "att_1",
  model: "valet/demo",
  model_calls: 1,
  cost_usd: 0.01,
  calls_without_cost: 0,
  tokens_input: 8000,
  tokens_output: 100,
  tokens_cache_read: 0,
  tokens_cache_write: null,
} as TurnRecord;

/** What is asked of a message whose attempt has calls, each with a cost of 0.01. */
function storyOf(calls: number, records: Partial<WhyInput>, isOpen = false): WhyInput {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: isOpen ? undefined : 9000 });
  const attributes = { "valet.dispatch.attempt_id": "att_1" };
  const { run } = story.attempt(message, { at: 10, to: isOpen ? undefined : 8900, attributes });
  for (let call = 0; call < calls; call++) story.chat(run, { at: 20 + call, to: 1000, ...CALL });
  return { ...story.about(message), ...records };
}

test("what a turn's record has beyond the spans that were read completes the cost", () => {
  const turn = { ...RECORD, model_calls: 3, cost_usd: 0.05, tokens_input: 30_000 };
  expect(moneyOf(storyOf(1, { turns: [turn] }))).toMatchObject({
    cost_usd: expect.closeTo(0.05, 12),
    known: true,
    by: [
      {
        model: "valet/demo",
        agent: null,
        calls: 2,
        cost_usd: expect.closeTo(0.04, 12),
        known: true,
        tokens_input: 22_000,
      },
      { model: "demo", agent: "build", calls: 1, cost_usd: 0.01, tokens_input: 8000 },
    ],
    sentence: "$0.0500 in 3 model calls: `valet/demo` $0.0400 and `demo` for the agent `build` $0.0100.",
  });
});

test("a record that says what the spans say adds nothing, however the sums were rounded", () => {
  const turn = { ...RECORD, model_calls: 7, cost_usd: 0.07 };
  expect(moneyOf(storyOf(7, { turns: [turn] }))).toMatchObject({ known: true, by: [{ model: "demo", calls: 7 }] });
  // A lost attempt's spans may tell more than it had reported.
  expect(moneyOf(storyOf(8, { turns: [turn] }))).toMatchObject({ known: true, by: [{ model: "demo", calls: 8 }] });
});

test("records of attempts by the same model, of which no span tells, are one row", () => {
  const turns = [RECORD, { ...RECORD, attempt_id: "att_2", cost_usd: 0.02, calls_without_cost: 1 }];
  expect(moneyOf(storyOf(0, { turns }))).toMatchObject({
    cost_usd: 0.03,
    known: false,
    by: [{ calls: 2, cost_usd: 0.03, known: false, tokens_input: 16_000, tokens_cache_write: null }],
  });
});

test.each<[string, Partial<WhyInput>]>([
  [
    "an attempt's record lacks more than its spans, as that of a lost one",
    { turns: [{ ...RECORD, calls_without_cost: 1 }] },
  ],
  [
    "nothing is known of another attempt",
    { turns: [{ ...RECORD, attempt_id: "2", model_calls: null, cost_usd: null }] },
  ],
  ["the records of earlier attempts were not found", { turns: [RECORD], lacksTurns: true }],
])("the cost is a lower bound where %s", (_what, records) => {
  expect(moneyOf(storyOf(1, records))).toMatchObject({
    cost_usd: 0.01,
    known: false,
    by: [{ calls: 1, known: true }],
    sentence: "At least $0.0100 in 1 model call by `demo` for the agent `build`.",
  });
  expect(
    moneyOf(
      storyOf(0, {
        ...records,
        turns: records.turns?.map((turn) => ({ ...turn, model_calls: 0, cost_usd: null })) ?? [],
      }),
    ),
  ).toMatchObject({ cost_usd: null, known: false, by: [], sentence: "The cost is unknown." });
});

test("of a turn that runs, what it has told counts; without that, or while its runner is gone, more may be missing", () => {
  const running = { ...RECORD, model_calls: 2, cost_usd: 0.03 };
  expect(moneyOf(storyOf(1, {}, true))).toMatchObject({ cost_usd: 0.01, known: true });
  expect(moneyOf(storyOf(1, { running }, true))).toMatchObject({ cost_usd: 0.03, known: true });
  expect(moneyOf(storyOf(1, { running, runnerGoneMs: BEGAN_MS }, true))).toMatchObject({
    cost_usd: 0.03,
    known: false,
  });
  expect(moneyOf(storyOf(0, { running: null }, true))).toMatchObject({ cost_usd: null, known: false });
});
