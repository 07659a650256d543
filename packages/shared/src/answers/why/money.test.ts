import { expect, test } from "vitest";
import { Story } from "../../../test/why-spans.ts";
import type { TurnRecord } from "../../protocol/session-view.ts";
import { moneyOf } from "./money.ts";

const CALL = { input: 8000, output: 100, cost: 0.01 };

test("the cost is that of the job's model calls, by model, agent and sub-agent", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000 });
  const { run } = story.attempt(message, { at: 10, to: 8900 });
  story.chat(run, { at: 20, to: 1000, ...CALL });
  const task = story.tool(run, "task", { at: 1000, to: 5000 });
  const sub = story.run(task, { at: 1000, to: 5000, agent: "general" });
  story.chat(sub, { at: 1001, to: 4000, agent: "general", conversation: "ses_2", ...CALL, cost: 0.05 });
  story.chat(run, { at: 5000, to: 8000, ...CALL, cacheRead: 6000 });
  const money = moneyOf(story.about(message));
  expect(money).toMatchObject({
    cost_usd: expect.closeTo(0.07, 12),
    known: true,
    avoidable: [],
    by: [
      { model: "demo", provider: "anthropic", agent: "general", sub_agent: true, cost_usd: 0.05, calls: 1 },
      {
        model: "demo",
        agent: "build",
        sub_agent: false,
        cost_usd: 0.02,
        calls: 2,
        tokens_input: 16_000,
        tokens_cache_read: 6000,
      },
    ],
  });
  expect(money.sentence).toBe(
    "$0.0700 in 3 model calls: `demo` for the sub-agent `general` $0.0500 and `demo` for the agent `build` $0.0200.",
  );
});

test.each([
  ["aborted", "user_abort", "provider_rate_limited", true],
  ["superseded", "steered", "provider_rate_limited", true],
  // The answer had begun.
  ["aborted", "user_abort", "provider_stream_cut", false],
  // The next try may have begun.
  ["lost", "runner_lost", "provider_rate_limited", false],
] as const)(
  "a call that is %s (%s) while it waits after %s: whether its cost is known is %s",
  (outcome, reason, error, known) => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000 });
    const { run } = story.attempt(message, { at: 10, to: 8900 });
    const ended = { outcome, error: reason };
    const call = story.span("chat demo", { at: 20, to: 8000, parent: run, ...ended });
    story.span("valet.llm.try", { at: 20, to: 500, parent: call, error });
    story.span("valet.retry.wait", { at: 500, to: 8000, parent: call, ...ended });
    expect(moneyOf(story.about(message))).toMatchObject({ known, cost_usd: known ? 0 : null });
  },
);

test("calls of other jobs in the same trace, and of other messages, do not count", () => {
  const story = new Story();
  const workflow = story.span("valet.workflow", {
    at: 0,
    to: 9000,
    attributes: { "valet.workflow.execution.id": "w1" },
  });
  const step = story.span("valet.workflow.step ask", { at: 10, to: 5000, parent: workflow });
  const request = story.span("POST /api/sessions/:id/messages", { at: 20, to: 30, parent: step });
  const other = story.message("m2", { at: 21, to: 4000, parent: request });
  story.chat(story.attempt(other, { at: 30, to: 3900 }).run, { at: 40, to: 3000, ...CALL });
  story.chat(story.run(step, { at: 20, to: 4900 }), { at: 30, to: 4000, ...CALL, cost: 0.5 });
  expect(moneyOf(story.about(workflow)).cost_usd).toBe(0.5);
  expect(moneyOf(story.about(other)).cost_usd).toBe(0.01);
});

test("a batch's dispatch, which begins a trace of its own, is work of each of its messages", () => {
  const story = new Story();
  const [first, second] = ["m1", "m2"].map((id) => story.message(id, { at: 0, to: 9000 }));
  if (first === undefined || second === undefined) throw new Error("no messages");
  const dispatch = story.span("valet.prompt.dispatch", {
    at: 10,
    to: 20,
    links: [
      ["collected", first],
      ["collected", second],
    ],
  });
  const turn = story.span("valet.turn", { at: 20, to: 8000, parent: dispatch });
  story.chat(story.run(turn, { at: 20, to: 8000 }), { at: 30, to: 7000, ...CALL });
  expect(moneyOf(story.about(second)).cost_usd).toBe(0.01);
});

test("without a price the cost is null, and the sentence says why", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000 });
  story.chat(story.attempt(message, { at: 10, to: 8900 }).run, { at: 20, to: 1000, ...CALL, cost: undefined });
  expect(moneyOf(story.about(message))).toMatchObject({
    cost_usd: null,
    known: false,
    by: [{ cost_usd: null, known: false, tokens_input: 8000 }],
    sentence: "The cost of 1 model call is unknown: no price is known for `demo`.",
  });
});

test("a cost with a missing part is a lower bound", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0 });
  const { run } = story.attempt(message, { at: 10 });
  story.chat(run, { at: 20, to: 1000, ...CALL });
  story.chat(run, { at: 1000 });
  const money = moneyOf(story.about(message));
  expect(money).toMatchObject({ cost_usd: 0.01, known: false, by: [{ calls: 2, tokens_input: 8000 }] });
  expect(money.sentence).toBe("At least $0.0100 in 2 model calls by `demo` for the agent `build`.");
});

test("a cost that lacks tokens without a price is a lower bound", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000 });
  const attributes = { "valet.llm.cost_partial": true };
  story.chat(story.attempt(message, { at: 10, to: 8900 }).run, { at: 20, to: 1000, ...CALL, attributes });
  expect(moneyOf(story.about(message))).toMatchObject({
    cost_usd: 0.01,
    known: false,
    sentence: "At least $0.0100 in 1 model call by `demo` for the agent `build`.",
  });
});

test("calls that reached no model cost nothing, and work without a call neither", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000, error: "model_chain_exhausted" });
  const { run } = story.attempt(message, { at: 10, to: 8900, error: "provider_overloaded" });
  expect(moneyOf(story.about(message))).toEqual({
    cost_usd: 0,
    known: true,
    by: [],
    avoidable: [],
    children: [],
    sentence: "No model was called.",
  });
  story.chat(run, { at: 20, to: 1000, error: "provider_overloaded" });
  expect(moneyOf(story.about(message))).toMatchObject({
    cost_usd: 0,
    known: true,
    by: [{ calls: 1, cost_usd: 0 }],
    avoidable: [],
  });
});

test("impossible figures are unknown", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000 });
  const { run } = story.attempt(message, { at: 10, to: 8900 });
  for (const cost of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    story.chat(run, { at: 20, to: 1000, input: -5, output: 1, cost });
  expect(moneyOf(story.about(message))).toMatchObject({ cost_usd: null, by: [{ tokens_input: null, calls: 3 }] });
});

test("without spans the records of the ended turns tell the sums", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000 });
  const turn = {
    model: "valet/demo",
    model_calls: 3,
    cost_usd: 0.3,
    calls_without_cost: 1,
    calls_without_usage: 0,
    tokens_input: 900,
    tokens_output: 90,
    tokens_cache_read: 0,
    tokens_cache_write: null,
  } as TurnRecord;
  const input = { ...story.about(message), turns: [turn, { ...turn, model_calls: 0, cost_usd: 0 }] };
  const money = moneyOf(input);
  expect(money).toMatchObject({ cost_usd: 0.3, known: false, by: [{ model: "valet/demo", agent: null, calls: 3 }] });
  expect(money.sentence).toBe("At least $0.3000 in 3 model calls by `valet/demo`.");
});
