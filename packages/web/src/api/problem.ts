/** Errors of the API as sentences. Pure. */
import type { components } from "./schema.d.ts";

type Problem = components["schemas"]["Problem"];

/** A request that the API refused, or that did not reach it. Its message is a sentence for people. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The HTTP status; `null` if there was no answer. */
  readonly status: number | null;
  /** The name of the problem, for example `session-not-found`; `null` if the answer has none. */
  readonly problem: string | null;
  /** What is wrong with each field of the input, by its path. */
  readonly fields: ReadonlyMap<string, string>;

  constructor(
    message: string,
    status: number | null,
    problem: string | null = null,
    fields = new Map<string, string>(),
  ) {
    super(message);
    this.status = status;
    this.problem = problem;
    this.fields = fields;
  }
}

const PREFIX = "urn:valet:problem:";

/** Returns the error of an answer. @param body problem+json, or whatever a proxy answered */
export function answerError(status: number, body: unknown): ApiError {
  if (!isProblem(body)) return new ApiError(`The server answered ${status}, without a reason.`, status);
  const name = body.type.startsWith(PREFIX) ? body.type.slice(PREFIX.length) : null;
  return new ApiError(problemSentence(body), status, name, fieldErrors(body));
}

/** Returns the error of a request without an answer. */
export function unreachable(): ApiError {
  return new ApiError("The server cannot be reached.", null);
}

/** Returns what a person reads of any error. */
export function errorSentence(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : "Something failed without a reason.";
}

/** Returns whether the caller has to sign in, again or for the first time. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** Returns whether trying again may help: the server is away or overloaded. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === null || error.status === 408 || error.status === 429 || error.status >= 500;
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== "object" || body === null) return false;
  const { type, title } = body as Partial<Record<keyof Problem, unknown>>;
  return typeof type === "string" && typeof title === "string";
}

/** Returns title and detail as sentences. A detail is a sentence, or continues the title. */
function problemSentence({ title, detail, errors = [] }: Problem): string {
  if (detail === undefined) {
    const first = errors[0];
    return first === undefined || first.path === "" ? `${title}.` : `${title}: ${first.path} ${first.message}.`;
  }
  const end = /[.!?]$/.test(detail) ? "" : ".";
  return `${title}${/^[A-Z]/.test(detail) ? "." : ":"} ${detail}${end}`;
}

function fieldErrors({ errors = [] }: Problem): Map<string, string> {
  const fields = new Map<string, string>();
  // The first error of a field says most.
  for (const { path, message } of errors) if (!fields.has(path)) fields.set(path, message);
  return fields;
}
