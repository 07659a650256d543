import { expect, test } from "vitest";
import { nearestPoint } from "./nearest-point.ts";

const POINTS = [{ left: 10, top: 10 }, undefined, { left: 20, top: 10 }];

test("the nearest point within reach is under the pointer", () => {
  expect(nearestPoint(POINTS, { left: 17, top: 10 }, 12)).toBe(2);
  expect(nearestPoint(POINTS, { left: 12, top: 10 }, 12)).toBe(0);
});

test("nothing is, where no point is near", () => {
  expect(nearestPoint(POINTS, { left: 50, top: 50 }, 12)).toBe(-1);
  expect(nearestPoint([], { left: 0, top: 0 }, 12)).toBe(-1);
});
