/** What the API's errors say. Pure. */
import { Problem } from "@valet/shared/http/problem";
import { apiProblem } from "@valet/shared/protocol/api-problems";

/** What to do, by the type of the problem, where the API cannot know how it is asked. */
const HINTS: Readonly<Record<string, string>> = {
  [apiProblem("session-not-found").type]: "See `valet sessions`.",
  [apiProblem("unauthorized").type]:
    "Pass a valid token with --token or VALET_TOKEN. A local Valet makes one, if it needs to, and prints it when `valet up` starts again; whoever has one makes another with `valet token create <name>`.",
};

export interface TextOptions {
  /** Returns the name of a field, by its path. */
  readonly nameOf?: ((path: string) => string) | undefined;
  /** What the answer's `Retry-After` says. */
  readonly retryAfterS?: number | undefined;
}

/**
 * Returns a sentence, and a line for each wrong field.
 * @param answer the body, as problem+json or anything else
 */
export function problemText(status: number, answer: unknown, { nameOf, retryAfterS }: TextOptions = {}): string {
  const [sentence = "", ...fields] = problemLines(status, answer, nameOf);
  const isSaid = retryAfterS === undefined || sentence.includes("Try again in");
  // Where the API says "Try again.", this says when.
  const text = isSaid
    ? sentence
    : `${sentence.replace(/\s*Try again\.$/, "").replace(/\.?$/, ".")} Try again in ${retryAfterS} s.`;
  return [text, ...fields].join("\n  ");
}

function problemLines(status: number, answer: unknown, nameOf = (path: string) => path): string[] {
  const problem = Problem.safeParse(answer);
  if (!problem.success) {
    // A proxy in front of Valet limits requests, and answers in place of a Valet that is away, at the right URL.
    const isOthers = status >= 400 && status < 500 && status !== 429;
    return isOthers
      ? [`The server answered ${status}, but not as Valet does. Check the URL, and what is in front of Valet.`]
      : [`The API answered ${status}.`];
  }
  const { type, title, detail, errors = [] } = problem.data;
  // The API names other fields in backticks.
  const named = (text: string) =>
    text.replace(/`([\w.]+)`/g, (whole, path) => (nameOf(path) === path ? whole : nameOf(path)));
  const fields = errors.map(({ path, message }) => `${nameOf(path)}: ${named(message)}`);
  // A detail is a sentence, or continues the title.
  const rest = detail === undefined ? "." : `${/^[A-Z]/.test(detail) ? "." : ":"} ${detail}`;
  const sentence = title + rest;
  const hint = HINTS[type];
  const text = hint === undefined ? sentence : `${sentence.replace(/\.?$/, ".")} ${hint}`;
  return [text, ...fields];
}

/** What the types of the API's problems begin with. */
const PREFIX = /^urn:valet:problem:/;

/** Returns the name by which scripts tell the problem: that of the API, or `http-` and the status of any other answer. */
export function problemType(status: number, answer: unknown): string {
  return Problem.safeParse(answer).data?.type.replace(PREFIX, "") ?? `http-${status}`;
}
