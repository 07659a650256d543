import { appendFileSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DONE } from "../../test/agent.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { type AttemptEnded, Journal, type StepFrame } from "./journal.ts";

const open = (path = join(temporaryFolder(), "state", "journal.jsonl"), generation = 1) => ({
  path,
  journal: new Journal(path, generation),
});

const ended = (attemptId: string, text = "done"): AttemptEnded => ({
  type: "turn-ended",
  attemptId,
  outcome: "ok",
  parts: [{ type: "text", id: "p1", text }],
  summary: DONE.summary,
});

describe("a runner that takes over knows", () => {
  test("what was in work, with its span", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.begin("one", "span");
    journal.accept("two");
    const next = new Journal(path, 1);
    expect(next.running()).toEqual([
      { attemptId: "one", span: "span" },
      { attemptId: "two", span: undefined },
    ]);
    expect(next.lastWriteMs).toBeGreaterThan(Date.now() - 60_000);
  });

  test("how far the steps of a workflow had come", () => {
    const { path, journal } = open();
    const step = (index: number, status: "running" | "done"): StepFrame => ({
      ...{ type: "workflow-step", attemptId: "one", state: { index, status } },
      ...(status === "running" && { span: `span ${index}` }),
    });
    journal.accept("one", true);
    journal.begin("one", "span");
    for (const frame of [step(0, "running"), step(0, "done"), step(1, "running")]) journal.step(frame);
    const expected = [{ attemptId: "one", span: "span", steps: [step(0, "done"), step(1, "running")] }];
    expect(journal.running()).toEqual(expected);
    // Nor does the one after the next forget.
    expect(new Journal(path, 1).running()).toEqual(expected);
    expect(new Journal(path, 1).running()).toEqual(expected);
  });

  test("that a workflow of which nothing was told yet is one", () => {
    const { path, journal } = open();
    journal.accept("one", true);
    expect(new Journal(path, 1).running()).toEqual([{ attemptId: "one", span: undefined, steps: [] }]);
  });

  test("what has ended and is not acknowledged", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.end(ended("one"));
    const next = new Journal(path, 1);
    expect(next.running()).toEqual([]);
    expect(next.unacknowledged()).toEqual([ended("one")]);
    next.settle("one");
    expect(new Journal(path, 1).unacknowledged()).toEqual([]);
  });

  test("what must not run again", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.end(ended("one"));
    journal.settle("one");
    expect(new Journal(path, 1).stateOf("one")).toBe("settled");
    // The one after that, too.
    expect(new Journal(path, 1).stateOf("one")).toBe("settled");
    expect(new Journal(path, 1).stateOf("two")).toBeUndefined();
  });

  test("all of it up to where its writer was killed", () => {
    const { path, journal } = open();
    journal.accept("one");
    appendFileSync(path, '\n{"is":"ended","frame":"{\\"type');
    const next = new Journal(path, 1);
    expect(next.stateOf("one")).toBe("running");
    // Nor does such a line take the next with it.
    appendFileSync(path, '\n{"is":');
    next.accept("two");
    expect(new Journal(path, 1).stateOf("two")).toBe("running");
  });

  test("nothing of another generation: what its session gave up is not answered for", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.accept("two");
    journal.end(ended("two"));
    const next = new Journal(path, 2);
    expect([next.running(), next.unacknowledged(), next.stateOf("one")]).toEqual([[], [], undefined]);
    expect(next.lastWriteMs).toBeUndefined();
  });
});

test("a journal does not keep growing with what is settled, and remembers the last thousand", () => {
  const { path, journal } = open();
  for (let index = 0; index < 1100; index++) {
    journal.accept(`att_${index}`);
    journal.end(ended(`att_${index}`, "x".repeat(2000)));
    journal.settle(`att_${index}`);
  }
  expect(statSync(path).size).toBeLessThan(1_500_000);
  expect([journal.stateOf("att_99"), journal.stateOf("att_100")]).toEqual([undefined, "settled"]);
  expect(new Journal(path, 1).stateOf("att_1099")).toBe("settled");
  // What settled attempts had to say is gone.
  expect(readFileSync(path, "utf8")).not.toContain("xxx");
});

test("an attempt id is data, whatever it looks like", () => {
  const { path, journal } = open();
  for (const id of ["../../x", "__proto__", 'a"\n{}']) journal.accept(id);
  expect(new Journal(path, 1).running().map(({ attemptId }) => attemptId)).toEqual(["../../x", "__proto__", 'a"\n{}']);
});

test("a journal that cannot be made says so", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "journal.jsonl"));
  expect(() => new Journal(join(folder, "journal.jsonl"), 1)).toThrow();
});
