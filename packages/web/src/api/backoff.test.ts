import fc from "fast-check";
import { expect, test } from "vitest";
import { pauseMs } from "./backoff.ts";

test("pauses grow, and stay between a quarter of a second and 15 s", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const pause = pauseMs(failures, random);
      expect(pause).toBeGreaterThanOrEqual(250);
      expect(pause).toBeLessThanOrEqual(15_000);
      expect(pauseMs(failures + 1, random)).toBeGreaterThanOrEqual(pause);
    }),
  );
});
