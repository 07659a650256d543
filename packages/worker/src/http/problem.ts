/** Errors of the API, after RFC 9457. */
import type { ProblemView } from "@valet/shared/protocol/session-api";
import { HTTPException } from "hono/http-exception";
import type { ZodError } from "zod";
import type { Problem, Result } from "../durable-objects/core/result.ts";
import { isStorageFull, isStorageLost } from "./storage-full.ts";

const PROBLEMS = {
  "invalid-input": [400, "The input is not valid"],
  "malformed-json": [400, "The body is not JSON"],
  unauthorized: [401, "A valid bearer token is needed"],
  "not-found": [404, "There is nothing here"],
  "session-not-found": [404, "No such session"],
  "request-timeout": [408, "The body took too long to arrive"],
  "method-not-allowed": [405, "The method is not allowed here"],
  "body-too-large": [413, "The body is too large"],
  "unsupported-media-type": [415, "The body must be application/json"],
  "upgrade-required": [426, "This address takes WebSockets"],
  "too-many-requests": [429, "Too many requests"],
  // Nobody reads this one. The status is nginx's, and is known for it.
  "client-closed-request": [499, "The request ended before it was complete"],
  internal: [500, "The server failed"],
  unavailable: [503, "The session cannot be reached now"],
  "storage-full": [507, "The server has no room to store anything"],
} as const satisfies Record<string, readonly [number, string]>;
export type ProblemName = keyof typeof PROBLEMS;

/** What a request ends with that cannot be answered as asked. All of it is sent to the caller: no secrets, no content. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly problem: ProblemView;
  readonly headers: Record<string, string>;

  constructor(problem: ProblemView, headers: Record<string, string> = {}) {
    super(problem.title);
    this.problem = problem;
    this.headers = headers;
  }
}

export function problem(
  name: ProblemName,
  more: Pick<ProblemView, "detail" | "errors"> = {},
  headers: Record<string, string> = {},
): ApiError {
  const [status, title] = PROBLEMS[name];
  return new ApiError({ type: `urn:valet:problem:${name}`, title, status, ...more }, headers);
}

/** What is wrong with the input, field by field. Names fields, also unknown ones, and never quotes a value. */
export function invalidInput({ issues }: Pick<ZodError, "issues">): ApiError {
  const errors = issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
    return issue.keys.map((key) => ({ path: [...issue.path, key].join("."), message: "unknown field" }));
  });
  const listed = errors.slice(0, MAX_ERRORS).map(({ path, message }) => ({ path: path.slice(0, MAX_PATH), message }));
  return problem("invalid-input", { errors: listed });
}
const MAX_ERRORS = 20;
const MAX_PATH = 200;

/** What a call of the session came to. @throws ApiError if it was refused */
export function unwrap<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new ApiError(toView(result.problem));
}

function toView({ type, title, status, detail }: Problem): ProblemView {
  return { type, title, status, detail };
}

/** Any error as the caller is told it. What nobody foresaw keeps its text to itself. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  // What the router's validators throw before they look at a field.
  if (error instanceof HTTPException && error.status === 400) return problem("malformed-json");
  if (error instanceof HTTPException && error.status === 415) return problem("unsupported-media-type");
  if (isStorageFull(error)) return problem("storage-full", { detail: `Its disk or database is full. ${NOT_KEPT}` });
  const { overloaded, retryable } = (error ?? {}) as ObjectError;
  if (overloaded) return problem("unavailable", { detail: "It has too much to do." }, { "retry-after": "10" });
  if (retryable) return problem("unavailable", { detail: "Try again." }, { "retry-after": "1" });
  if (isStorageLost(error)) {
    return problem("storage-full", { detail: `Its storage failed: the disk may be full. ${NOT_KEPT}` });
  }
  return problem("internal");
}

const NOT_KEPT = "Nothing of this request was kept, and nothing else is lost: make room and send it again.";

/** How the platform says that a call did not reach its object (Durable Objects, "Error handling"). */
interface ObjectError {
  readonly overloaded?: boolean;
  readonly retryable?: boolean;
}

export function toResponse({ problem, headers }: ApiError): Response {
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: { ...headers, "content-type": "application/problem+json" },
  });
}
