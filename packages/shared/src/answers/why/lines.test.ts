import { expect, test } from "vitest";
import type { WhyFailure } from "../../protocol/why.ts";
import { whyLines } from "./lines.ts";
import { input, linkTo, MESSAGE, message, messageSpans, span } from "./sample-spans.ts";
import { why } from "./why.ts";

const OTHER = "2".repeat(32);

test("the sentence, then the parts, largest first, with their spans", () => {
  const restore = span("valet.sandbox.restore", 0, 8000, { trace: OTHER, id: "r".repeat(16) });
  const create = span("valet.sandbox.create", 0, 6000, { trace: OTHER, id: "c".repeat(16), parent: restore.spanId });
  const { all } = messageSpans(10_000, 8000, {
    wait: { reasons: [[0, "sandbox_restoring"]], links: [linkTo(restore)] },
  });
  const bash = span("execute_tool bash", 8020, 9800, { parent: `${MESSAGE}-agent`, id: "b".repeat(16) });
  const view = why(input(message(10_000), [...all, restore, create, bash]));
  expect(whyLines(view)).toEqual([
    "10.0 s: 8.0 s waiting for the sandbox to restore, of which 6.0 s in the sandbox broker; `bash` took 1.8 s.",
    view.money.sentence,
    "",
    "     8.0 s  waiting for the sandbox to restore",
    `    ${OTHER}/${"r".repeat(16)}`,
    "     6.0 s    in the sandbox broker",
    `      ${OTHER}/${"c".repeat(16)}`,
    "     2.0 s    booting",
    `      ${OTHER}/${"r".repeat(16)}`,
    "     1.8 s  in the tool `bash`",
    `    ${"1".repeat(32)}/${"b".repeat(16)}`,
    "    110 ms  finishing the answer",
    `    ${"1".repeat(32)}/${MESSAGE}-end +1`,
    "    110 ms  3 smaller",
  ]);
});

test("a first cause is said once, though the job ended with another error", () => {
  const { all } = messageSpans(3000, 100);
  const run = span("invoke_agent build", 110, 2800, {
    ...{ id: "run", parent: `${MESSAGE}-turn`, outcome: "error" },
    attributes: { "error.type": "provider_overloaded" },
  });
  const spans = all.map((each) => {
    const attributes = { ...each.attributes, "error.type": "model_chain_exhausted" };
    return each.name === "valet.turn" ? { ...each, outcome: "error" as const, attributes } : each;
  });
  const job = message(3000, { outcome: "error", failure: { type: "model_chain_exhausted", message: "" } });
  const view = why(input(job, [...spans, run]));
  expect(view.failure?.cause?.type).toBe("provider_overloaded");
  const said = whyLines(view).filter((line) => line.includes("`provider_overloaded`") && !line.startsWith("    "));
  expect(said.slice(1)).toEqual([view.failure?.sentence]);
});

test("what the provider said is one line, after what failed", () => {
  const view = why(input(message(3000, { outcome: "error", failure: { type: "_OTHER", message: "" } }), []));
  const failure = { ...(view.failure as WhyFailure), said: " Not\nfound:\tdemo " };
  const lines = whyLines({ ...view, failure });
  expect(lines[lines.indexOf(failure.sentence) + 1]).toBe("The provider said: “Not found: demo”");
});

test("in a terminal of 60 columns nothing is wider, but for ids", () => {
  const { all } = messageSpans(10_000, 8000, { wait: { reasons: [[0, "runner_busy"]] } });
  const view = why(
    input(message(10_000, { outcome: "error", failure: { type: "model_unknown", message: "No." } }), all),
  );
  const lines = whyLines(view, 60);
  expect(lines.length).toBeGreaterThan(6);
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(60);
  expect(lines.join("\n")).toContain("model_unknown");
});

test("an answer without time has no parts", () => {
  const view = why(input(message(0), []));
  expect(whyLines(view)).toEqual(["0 ms.", view.money.sentence]);
});
