import { expect, test } from "vitest";
import { z } from "zod";
import * as outputs from "./outputs.ts";

/** What says that a cost, or a sum, is a lower bound. */
const BOUNDS = ["isCostPartial", "known", "calls_without_cost", "turns_without_cost"];

/** Returns the paths of all objects with a cost and nothing that says whether a part of it is unknown. */
function unbounded(schema: unknown, path: string): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties } = schema as { readonly properties?: Readonly<Record<string, unknown>> };
  const names = Object.keys(properties ?? {});
  const lacks =
    names.includes("cost_usd") && !names.includes("measures") && !BOUNDS.some((name) => names.includes(name));
  // The measures of statistics are distributions.
  const isDistribution = names.includes("queue_wait_ms") && names.includes("cost_usd") && !names.includes("session_id");
  return [
    ...(lacks && !isDistribution ? [path] : []),
    ...Object.entries(schema).flatMap(([key, value]) => unbounded(value, `${path}.${key}`)),
  ];
}

test("whatever has a cost says whether it is a lower bound", () => {
  const found = Object.entries(outputs).flatMap(([name, schema]) =>
    unbounded(z.toJSONSchema(schema as z.ZodType, { io: "output", unrepresentable: "any" }), name),
  );
  expect(found).toEqual([]);
  const { measures } = z.toJSONSchema(outputs.StatsOutput.shape.total).properties ?? {};
  expect(JSON.stringify(measures)).toContain('"partial"');
});
