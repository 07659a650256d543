/** Errors of the API, after RFC 9457. */
import { fieldErrors, type Problem, type ProblemDetails, problemResponse } from "@valet/shared/http/problem";
import { type ApiProblemName, apiProblem } from "@valet/shared/protocol/api-problems";
import { HTTPException } from "hono/http-exception";
import type { ZodError } from "zod";
import type { Result } from "../durable-objects/core/result.ts";
import { isStorageFull, isStorageLost } from "./storage-full.ts";

/** What a request ends with that cannot be answered as asked. All of it is sent to the caller: no secrets, no content. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly problem: Problem;
  readonly headers: Record<string, string>;

  constructor(problem: Problem, headers: Record<string, string> = {}) {
    super(problem.title);
    this.problem = problem;
    this.headers = headers;
  }
}

export function problem(
  name: ApiProblemName,
  more: ProblemDetails = {},
  headers: Record<string, string> = {},
): ApiError {
  return new ApiError(apiProblem(name, more), headers);
}

export function invalidInput(error: Pick<ZodError, "issues">): ApiError {
  return problem("invalid-input", { errors: fieldErrors(error) });
}

/** What a call of the session came to. @throws ApiError if it was refused */
export function unwrap<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new ApiError(result.problem);
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
  return problemResponse(problem, headers);
}
