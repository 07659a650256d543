import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { forgetKept, Kept } from "./kept.ts";

test("the newest values are kept, each under its key, and no more than so many", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat())), (writes) => {
      const kept = new Kept<number>();
      for (const [key, value] of writes) kept.set(String(key), value);
      const newest = [...new Map(writes.toReversed().map(([key]) => [key, true])).keys()];
      newest.forEach((key, index) => {
        const expected = index < 20 ? writes.findLast(([each]) => each === key)?.[1] : undefined;
        expect(kept.get(String(key))).toBe(expected);
      });
    }),
  );
});

test("all of a kind is forgotten at once, and what began before can see that", () => {
  const [one, other, draft] = [new Kept<number>(), new Kept<string>(), new Kept<string>("draft")];
  const { generation } = other;
  draft.set("a", "written");
  const heard = vi.fn();
  const stop = other.subscribe(heard);
  one.set("a", 1);
  other.set("a", "x");
  expect(heard).toHaveBeenCalledTimes(1);
  forgetKept("view");
  expect(heard).toHaveBeenCalledTimes(2);
  stop();
  expect([one.get("a"), other.get("a"), draft.get("a")]).toEqual([undefined, undefined, "written"]);
  expect(other.generation).not.toBe(generation);
  forgetKept("draft");
  expect(draft.get("a")).toBeUndefined();
});
