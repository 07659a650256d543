import { describe, expect, test } from "vitest";
import { capacityOf, machineCapacity } from "./capacity.ts";

const GIB = 1024 ** 3;

describe("machine capacity", () => {
  test.each([
    [0.1, 8, { awake: 1, starting: 1 }],
    [1, 1, { awake: 1, starting: 1 }],
    [2, 2, { awake: 2, starting: 2 }],
    [8, 4, { awake: 9, starting: 4 }],
    [24, 2, { awake: 28, starting: 2 }],
    [64, 16, { awake: 76, starting: 16 }],
  ])("%d GB and %d cores", (gib, cores, expected) => {
    expect(capacityOf(gib * GIB, cores)).toEqual(expected);
  });

  test("is known for this machine", () => {
    expect(machineCapacity().awake).toBeGreaterThanOrEqual(1);
  });
});
