import { expect, test } from "vitest";
import { barWidth } from "./trace-tree.ts";

test("a tree has bars where there is room for names besides", () => {
  expect([undefined, 200, 94, 80, 60].map(barWidth)).toEqual([24, 24, 24, 10, 0]);
});
