import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DONE } from "../../test/agent.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { type AttemptEnded, Journal, type StepFrame } from "./journal.ts";

const open = (path = join(temporaryFolder(), "state", "journal.sqlite"), generation = 1) => ({
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

describe("a runner's successor knows", () => {
  test("the running attempts, with their spans", () => {
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

  test("the progress of a workflow's steps", () => {
    const { path, journal } = open();
    const step = (index: number, status: "running" | "done"): StepFrame => ({
      type: "workflow-step",
      attemptId: "one",
      state: { index, status },
      ...(status === "running" && { span: `span ${index}` }),
    });
    journal.accept("one", true);
    journal.begin("one", "span");
    for (const frame of [step(0, "running"), step(0, "done"), step(1, "running")]) journal.step(frame);
    const expected = [{ attemptId: "one", span: "span", steps: [step(0, "done"), step(1, "running")] }];
    expect(journal.running()).toEqual(expected);
    // So does the successor's successor.
    expect(new Journal(path, 1).running()).toEqual(expected);
    expect(new Journal(path, 1).running()).toEqual(expected);
  });

  test("that an attempt is a workflow, even before its first step", () => {
    const { path, journal } = open();
    journal.accept("one", true);
    expect(new Journal(path, 1).running()).toEqual([{ attemptId: "one", span: undefined, steps: [] }]);
  });

  test("the ended attempts that are not acknowledged", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.end(ended("one"));
    const next = new Journal(path, 1);
    expect(next.running()).toEqual([]);
    expect(next.unacknowledged()).toEqual([ended("one")]);
    next.settle("one");
    expect(new Journal(path, 1).unacknowledged()).toEqual([]);
  });

  test("the attempts that must not run again", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.end(ended("one"));
    journal.settle("one");
    expect(new Journal(path, 1).stateOf("one")).toBe("settled");
    // So does the successor's successor.
    expect(new Journal(path, 1).stateOf("one")).toBe("settled");
    expect(new Journal(path, 1).stateOf("two")).toBeUndefined();
  });

  test("everything written before the runner was killed, at any point", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.begin("one", "span");
    journal.end(ended("one"));
    journal.accept("two");
    const known = ["one", "two"].map((id) => journal.stateOf(id));
    const log = readFileSync(`${path}-wal`);
    const cut = temporaryFolder();
    let least = 0;
    for (const length of [...Array(Math.ceil(log.length / 512)).keys()].map((each) => each * 512).concat(log.length)) {
      const copy = join(cut, `${length}.sqlite`);
      copyFileSync(path, copy);
      writeFileSync(`${copy}-wal`, log.subarray(0, length));
      const next = new Journal(copy, 1);
      const states = ["one", "two"].map((id) => next.stateOf(id));
      // A longer log never contains less, and its order is that of writing.
      const count = [states[0] !== undefined, states[0] === "ended", states[1] !== undefined].filter(Boolean).length;
      expect(count).toBeGreaterThanOrEqual(least);
      least = count;
      next.accept("three");
      next.close();
      expect(new Journal(copy, 1).stateOf("three")).toBe("running");
    }
    expect(least).toBe(3);
    expect(known).toEqual(["ended", "running"]);
  });

  test("nothing of another generation, since the session has given up those attempts", () => {
    const { path, journal } = open();
    journal.accept("one");
    journal.accept("two");
    journal.end(ended("two"));
    const next = new Journal(path, 2);
    expect([next.running(), next.unacknowledged(), next.stateOf("one")]).toEqual([[], [], undefined]);
    expect(next.lastWriteMs).toBeUndefined();
  });
});

test("a journal does not fill up with settled attempts, and keeps the last thousand", () => {
  const { path, journal } = open();
  for (let index = 0; index < 1100; index++) {
    journal.accept(`att_${index}`);
    journal.end(ended(`att_${index}`, "x".repeat(2000)));
    journal.settle(`att_${index}`);
  }
  expect(statSync(path).size + statSync(`${path}-wal`).size).toBeLessThan(6_000_000);
  expect([journal.stateOf("att_99"), journal.stateOf("att_100")]).toEqual([undefined, "settled"]);
  journal.close();
  // The frames of settled attempts are deleted.
  expect(statSync(path).size).toBeLessThan(1_500_000);
  expect(readFileSync(path, "latin1")).not.toContain("xxx");
  const next = new Journal(path, 1);
  expect([next.stateOf("att_99"), next.stateOf("att_100"), next.stateOf("att_1099")]).toEqual([
    undefined,
    "settled",
    "settled",
  ]);
});

describe("the journal of a runner of version 0.2.0", () => {
  const step: StepFrame = {
    type: "workflow-step",
    attemptId: "four",
    state: { index: 0, status: "running" },
    span: "s",
  };
  const lines = [
    { is: "accepted", attemptId: "one", generation: 1 },
    { is: "begun", attemptId: "one", span: "span" },
    { is: "accepted", attemptId: "two", generation: 1 },
    { is: "ended", frame: JSON.stringify(ended("two")) },
    { is: "accepted", attemptId: "three", generation: 1 },
    { is: "settled", attemptId: "three" },
    { is: "accepted", attemptId: "four", generation: 1, isWorkflow: true },
    { is: "step", frame: JSON.stringify(step) },
    { is: "accepted", attemptId: "other", generation: 2 },
  ];
  const text = `${lines.map((line) => `\n${JSON.stringify(line)}\n`).join("")}\n{"is":"settled","atte`;

  test("is migrated once, except for a line that was cut off", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "journal.jsonl"), text);
    const { journal, path } = open(join(folder, "journal.sqlite"));
    const expected = [
      { attemptId: "one", span: "span" },
      { attemptId: "four", span: undefined, steps: [step] },
    ];
    expect(journal.running()).toEqual(expected);
    expect(journal.unacknowledged()).toEqual([ended("two")]);
    expect([journal.stateOf("three"), journal.stateOf("other")]).toEqual(["settled", undefined]);
    expect(journal.lastWriteMs).toBeGreaterThan(Date.now() - 60_000);
    expect(existsSync(join(folder, "journal.jsonl"))).toBe(false);
    journal.settle("one");
    // The runner that migrated it was killed before it could remove the file.
    writeFileSync(join(folder, "journal.jsonl"), text);
    const next = new Journal(path, 1);
    expect([next.stateOf("one"), next.stateOf("two")]).toEqual(["settled", "ended"]);
    expect(next.running()).toEqual([expected[1]]);
  });
});

test("an attempt id may contain any characters", () => {
  const { path, journal } = open();
  for (const id of ["../../x", "__proto__", 'a"\n{}']) journal.accept(id);
  expect(new Journal(path, 1).running().map(({ attemptId }) => attemptId)).toEqual(["../../x", "__proto__", 'a"\n{}']);
});

test("a journal that cannot be created throws", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "journal.sqlite"));
  expect(() => new Journal(join(folder, "journal.sqlite"), 1)).toThrow();
  writeFileSync(join(folder, "other.sqlite"), "no database, and longer than the header of one".repeat(10));
  expect(() => new Journal(join(folder, "other.sqlite"), 1)).toThrow();
});
