/** The reading of a diff whose turn has just ended. */
import type { ChangesUnknown, DiffQuery, DiffView } from "@valet/shared/protocol/changes";
import { expect, test } from "vitest";
import { readDiff } from "./read-diff.ts";

/** @param answers why the turn's changes are unknown, in this order; the last one from then on */
function setUp(endedMs: number, ...answers: (ChangesUnknown | null)[]) {
  let asked = 0;
  const patches: string[] = [];
  let slow = 0;
  const diff = async (_session: string, { patch }: DiffQuery) => {
    patches.push(patch ?? "whole");
    const unknown = answers[Math.min(asked++, answers.length - 1)];
    return { turns: [{ ended_at: new Date(endedMs).toISOString(), unknown }] } as DiffView;
  };
  const read = () => readDiff({ diff }, "ses_1", {}, () => slow++);
  return { asked: () => asked, slow: () => slow, patches, read };
}

test("of a turn that has just ended is read again until the turn is reported", async () => {
  const { patches, slow, read } = setUp(Date.now(), "not_reported", "not_reported", null);
  expect((await read()).turns[0]?.unknown).toBeNull();
  // Patches are read only when they are printed.
  expect([patches, slow()]).toEqual([["whole", "none", "none", "whole"], 0]);
});

test.each<[string, number, ChangesUnknown | null]>([
  ["is known", 0, null],
  ["is unknown for a reason", 0, "not_a_repository"],
  ["ended long ago", 60_000, "not_reported"],
])("of a turn that %s is read once", async (_what, agoMs, unknown) => {
  const { asked, read } = setUp(Date.now() - agoMs, unknown, null);
  expect((await read()).turns[0]?.unknown).toBe(unknown);
  expect(asked()).toBe(1);
});

test("of a turn that nobody reports is not waited for longer than the runner may take", async () => {
  const { asked, slow, read } = setUp(Date.now(), "not_reported");
  expect((await read()).turns[0]?.unknown).toBe("not_reported");
  expect(asked()).toBeGreaterThan(2);
  expect(slow()).toBe(1);
}, 30_000);
