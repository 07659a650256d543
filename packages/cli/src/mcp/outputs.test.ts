import { expect, test } from "vitest";
import { z } from "zod";
import { costsWithoutBound } from "../../../shared/test/cost-bounds.ts";
import * as outputs from "./outputs.ts";

test("whatever has a cost says whether it is a lower bound", () => {
  const found = Object.entries(outputs).flatMap(([name, schema]) =>
    costsWithoutBound(z.toJSONSchema(schema as z.ZodType, { io: "output", unrepresentable: "any" }), name),
  );
  expect(found).toEqual([]);
  const { measures } = z.toJSONSchema(outputs.StatsOutput.shape.total).properties ?? {};
  expect(JSON.stringify(measures)).toContain('"partial"');
});

test("a figure beside a cost that says something else of what is known is no bound of the cost", () => {
  const properties = { cost_usd: { type: ["number", "null"] }, known: { type: "integer" } };
  const other = { ...properties, known: { type: "boolean", description: "Whether the model is known" } };
  expect([properties, other].map((each) => costsWithoutBound({ properties: each }, "at"))).toEqual([["at"], ["at"]]);
});
