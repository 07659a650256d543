import { expect, test } from "vitest";
import { shownState } from "./state.tsx";

test.each([
  ["idle", "running", "idle"],
  ["idle", "hibernated", "hibernated"],
  ["idle", "terminated", "terminated"],
  ["idle", "error", "failed"],
  ["idle", undefined, "idle"],
  ["working", "hibernated", "working"],
  ["failed", "error", "failed"],
] as const)("a session that is %s with the status %s is shown as %s", (doing, status, shown) => {
  expect(shownState(doing, status)).toBe(shown);
});
