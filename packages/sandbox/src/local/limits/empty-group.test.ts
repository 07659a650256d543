import { expect, test } from "vitest";
import { emptied } from "./empty-group.ts";

/** A group of processes: what happens when one is moved may change which are there. */
function groupOf(pids: readonly number[], onMove: (pid: number, members: Set<number>) => void = () => {}) {
  const members = new Set(pids);
  const moved: number[] = [];
  const group = {
    members: () => [...members],
    areOwn: (some: readonly number[]) => some.every((pid) => pid < 1_000),
    move(pid: number) {
      onMove(pid, members);
      if (!members.delete(pid)) throw new Error("ESRCH");
      moved.push(pid);
    },
  };
  return { group, moved };
}

test("all are moved, also one that another has started meanwhile, and none is missed because another has ended", () => {
  const { group, moved } = groupOf([1, 2, 3], (pid, members) => {
    if (pid === 1) members.delete(2);
    if (pid === 3) members.add(4);
  });
  expect(emptied(group)).toBe(true);
  expect(moved).toEqual([1, 3, 4]);
});

test("with another's process among them none is moved", () => {
  const { group, moved } = groupOf([1, 1_000]);
  expect(emptied(group)).toBe(false);
  expect(moved).toEqual([]);
});

test("one that cannot be moved, or one that starts others without end, is left", () => {
  const refuses = { ...groupOf([1]).group, move: () => expect.fail("EACCES") };
  expect(emptied(refuses)).toBe(false);
  const forks = groupOf([1], (pid, members) => void members.add(pid + 1));
  expect(emptied(forks.group)).toBe(false);
});
