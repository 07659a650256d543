import * as fc from "fast-check";
import { expect, test } from "vitest";
import { boundedJson } from "./bounded-json.ts";

test("whatever the value and the limit: JSON, within the limit, and whole where it fits", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer({ min: 64, max: 400 }), (value, limit) => {
      const text = boundedJson(value, limit);
      expect(text.length).toBeLessThanOrEqual(limit);
      const read: unknown = JSON.parse(text);
      const whole = JSON.stringify(value);
      if (whole.length <= limit) expect(read).toEqual(JSON.parse(whole));
    }),
  );
});

test("long strings are cut before the shape is given up", () => {
  const text = boundedJson([{ role: "assistant", parts: [{ type: "text", content: '"'.repeat(5000) }] }], 1000);
  expect(JSON.parse(text)).toMatchObject([{ role: "assistant", parts: [{ type: "text" }] }]);
  expect(JSON.parse(boundedJson("\ud83d\ude00\u0000".repeat(999), 64))).toEqual(expect.any(String));
});
