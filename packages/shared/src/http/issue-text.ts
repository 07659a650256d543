/** Says in plain English what is wrong with an input, in place of the sentences that zod has. Pure; never quotes a value. */
import type { z } from "zod";

type Issue = z.core.$ZodIssue;

/** The beginnings of zod's own sentences; any other is a schema's own, which stays. */
const OF_ZOD = /^(?:Too small|Too big|Invalid input|Invalid option): |^Invalid (?:input|ISO datetime)$/;

/** Returns what is wrong, as what follows the field's name and a colon. */
export function issueText(issue: Issue): string {
  return OF_ZOD.test(issue.message) ? plainText(issue) : issue.message;
}

function plainText(issue: Issue): string {
  switch (issue.code) {
    case "too_small":
      return smallText(issue);
    case "too_big":
      return `must ${boundText("most", issue.origin, issue.maximum, issue.inclusive !== false)}`;
    case "invalid_type":
      return issue.message.endsWith("received undefined") ? "is missing" : `must be ${typeText(issue.expected)}`;
    case "invalid_value":
      return `must be ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "invalid_format":
      return "must be a time such as 2026-01-31T18:30:00Z";
    case "invalid_union":
      return "has none of the forms that are allowed here";
    default:
      return issue.message;
  }
}

function smallText({ origin, minimum, inclusive }: Extract<Issue, { code: "too_small" }>): string {
  const isCounted = UNITS[origin] !== undefined;
  if (isCounted && Number(minimum) === 1) return "must not be empty";
  return `must ${boundText("least", origin, minimum, inclusive !== false)}`;
}

/** What is counted of the types that have a length. */
const UNITS: { readonly [origin: string]: string | undefined } = {
  string: "character",
  array: "entry",
  set: "entry",
  file: "byte",
};
const PLURALS: { readonly [unit: string]: string | undefined } = { entry: "entries" };

function boundText(which: "least" | "most", origin: string, bound: number | bigint, isInclusive: boolean): string {
  const unit = UNITS[origin];
  if (unit === undefined) {
    return isInclusive ? `be at ${which} ${bound}` : `be ${which === "least" ? "more" : "less"} than ${bound}`;
  }
  return `have at ${which} ${bound} ${Number(bound) === 1 ? unit : (PLURALS[unit] ?? `${unit}s`)}`;
}

const TYPES: { readonly [expected: string]: string | undefined } = {
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  null: "null",
};

function typeText(expected: string): string {
  return TYPES[expected] ?? `a ${expected}`;
}
