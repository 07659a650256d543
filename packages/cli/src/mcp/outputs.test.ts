import { expect, test } from "vitest";
import { z } from "zod";
import { costsIn } from "../../../shared/test/cost-bounds.ts";
import * as outputs from "./outputs.ts";

test("whatever has a cost says whether it is a lower bound", () => {
  const costs = Object.entries(outputs).flatMap(([name, schema]) =>
    costsIn(z.toJSONSchema(schema as z.ZodType, { io: "output", unrepresentable: "any" }), name),
  );
  expect(costs).not.toEqual([]);
  expect(costs.filter(({ isBounded }) => !isBounded)).toEqual([]);
  const { measures } = z.toJSONSchema(outputs.StatsOutput.shape.total).properties ?? {};
  expect(JSON.stringify(measures)).toContain('"partial"');
});

const USD = { type: ["number", "null"] };
const USD_SCHEMA = { components: { schemas: { Usd: { anyOf: [{ type: "number" }, { type: "null" }] } } } };
const REFERENCE = { $ref: "#/components/schemas/Usd" };

test.each([
  ["something else of what is known", { cost_usd: USD, known: { type: "integer" } }],
  [
    "whether the model is known",
    { cost_usd: USD, known: { type: "boolean", description: "Whether the model is known" } },
  ],
  ["nothing, of a cost by reference", { cost_usd: REFERENCE }],
  ["nothing, of a cost by a reference in a list", { cost_usd: { allOf: [REFERENCE], description: "In dollars" } }],
])("a figure beside a cost that says %s is no bound of the cost", (_title, properties) => {
  expect(costsIn({ ...USD_SCHEMA, properties }, "at")).toEqual([{ path: "at", isBounded: false }]);
});

test("a cost and its bound may come from different parts of an object", () => {
  const [cost, bound] = [{ cost_usd: REFERENCE }, { isCostPartial: { type: "boolean" } }].map((properties) => ({
    properties,
  }));
  expect(costsIn({ ...USD_SCHEMA, allOf: [cost, bound] }, "at")).toEqual([{ path: "at", isBounded: true }]);
  expect(costsIn({ ...USD_SCHEMA, allOf: [cost] }, "at")).toEqual([{ path: "at", isBounded: false }]);
  // The distributions of statistics, and what refers to itself.
  const cycle = { definitions: { Cost: { allOf: [{ $ref: "#/definitions/Cost" }] } } };
  expect(costsIn({ ...cycle, properties: { cost_usd: { $ref: "#/definitions/Cost" } } })).toEqual([]);
  expect(() => costsIn({ properties: { cost_usd: { $ref: "#/nowhere" } } })).toThrow("has no #/nowhere");
});
