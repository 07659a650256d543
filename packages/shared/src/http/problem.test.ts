import { expect, it } from "vitest";
import { z } from "zod";
import { fieldErrors, Problem, problemResponse, problemsOf } from "./problem.ts";

const makeProblem = problemsOf("urn:test:", { "not-there": [404, "There is nothing here"] });

function errorsOf(schema: z.ZodType, input: unknown) {
  const { error } = schema.safeParse(input);
  return error && fieldErrors(error);
}

it("creates a problem from its table's row and the details", () => {
  expect(makeProblem("not-there", { detail: "gone" })).toEqual({
    type: "urn:test:not-there",
    title: "There is nothing here",
    status: 404,
    detail: "gone",
  });
});

it("responds according to RFC 9457", async () => {
  const response = problemResponse(makeProblem("not-there"), { allow: "GET" });
  expect(response.status).toBe(404);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(response.headers.get("allow")).toBe("GET");
  expect(Problem.parse(await response.json())).toEqual(makeProblem("not-there"));
});

it("names fields, even unknown ones, and quotes no value", () => {
  const schema = z.strictObject({ a: z.object({ b: z.number() }) });
  const errors = errorsOf(schema, { a: { b: "secret" }, c: 1 });
  expect(errors?.map(({ path }) => path).sort()).toEqual(["a.b", "c"]);
  expect(JSON.stringify(errors)).not.toContain("secret");
});

it("limits how many errors it lists", () => {
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${"x".repeat(1000)}${i}`, 1]));
  const errors = errorsOf(z.strictObject({}), many);
  expect(errors).toHaveLength(20);
  expect(errors?.every(({ path }) => path.length === 200)).toBe(true);
});
