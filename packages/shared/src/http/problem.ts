/** Error answers of our HTTP interfaces: "Problem Details for HTTP APIs" (RFC 9457). */

import { z } from "zod";
import { head } from "../text.ts";

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

/** What an occurrence adds to its kind. It is sent to the caller: no secrets, no content. */
export type ProblemDetails = Pick<Problem, "detail" | "errors">;

/** The problems of one interface: each with its HTTP status and its title. */
export type ProblemTable = { readonly [name: string]: readonly [status: number, title: string] };

/**
 * Returns the function that makes problems of a table.
 * @param prefix of `type`, before the problem's name
 */
export function problemsOf<T extends ProblemTable>(prefix: string, table: T) {
  return (name: keyof T & string, more: ProblemDetails = {}): Problem => {
    const [status, title] = table[name] as ProblemTable[string];
    return { type: `${prefix}${name}`, title, status, ...more };
  };
}

/** The most that an answer lists, and the longest path in it, in UTF-16 code units: a caller chooses both. */
const MAX_ERRORS = 20;
const MAX_PATH = 200;

/** Returns what is wrong with the input, field by field. Names fields, also unknown ones, and never quotes a value. */
export function fieldErrors({ issues }: Pick<z.ZodError, "issues">): NonNullable<Problem["errors"]> {
  const errors = issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
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
