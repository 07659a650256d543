/** Error responses of our HTTP interfaces: "Problem Details for HTTP APIs" (RFC 9457). */

import { z } from "zod";
import { head } from "../text.ts";
import { issueText } from "./issue-text.ts";

export const PROBLEM_TYPE = "application/problem+json";

export const Problem = z.object({
  type: z.string().describe("Stable; clients tell problems apart by it"),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  errors: z
    .array(z.object({ path: z.string(), message: z.string() }))
    .optional()
    .describe("What is wrong with the input, field by field; never what was in it"),
});
export type Problem = z.infer<typeof Problem>;

/** The details of one occurrence. They are sent to the caller, so they contain no secrets and no content. */
export type ProblemDetails = Pick<Problem, "detail" | "errors">;

/** The kinds of problems of one interface, with HTTP status and title. */
export type ProblemTable = { readonly [name: string]: readonly [status: number, title: string] };

/**
 * Returns a function that creates problems of a table.
 * @param prefix the beginning of `type`, before the problem's name
 */
export function problemsOf<T extends ProblemTable>(prefix: string, table: T) {
  return (name: keyof T & string, more: ProblemDetails = {}): Problem => {
    const [status, title] = table[name] as ProblemTable[string];
    return { type: `${prefix}${name}`, title, status, ...more };
  };
}

/** The most errors in a response, and the longest path, in UTF-16 code units: the caller controls both. */
const MAX_ERRORS = 20;
const MAX_PATH = 200;

/** Returns the errors of the input by field. Names fields, even unknown ones, and never quotes a value. */
export function fieldErrors({ issues }: Pick<z.ZodError, "issues">): NonNullable<Problem["errors"]> {
  const errors = issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ path, message: issueText(issue) }];
    return issue.keys.map((key) => ({ path: [...issue.path, key].join("."), message: "unknown field" }));
  });
  return errors.slice(0, MAX_ERRORS).map(({ path, message }) => ({ path: head(path, MAX_PATH), message }));
}

export function problemResponse(problem: Problem, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: { ...headers, "content-type": PROBLEM_TYPE },
  });
}
