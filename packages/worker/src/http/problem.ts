/** Errors of the API as problem details (RFC 9457). */
import { fieldErrors, type Problem, type ProblemDetails, problemResponse } from "@valet/shared/http/problem";
import { type ApiProblemName, apiProblem } from "@valet/shared/protocol/api-problems";
import { HTTPException } from "hono/http-exception";
import type { ZodError } from "zod";
import { ConfigError, invalidText } from "../config.ts";
import { badCursor } from "../durable-objects/core/cursor.ts";
import type { Result } from "../durable-objects/core/result.ts";
import { isBeforeMigrations } from "../log-failure.ts";
import { isStorageFull, isStorageLost } from "./storage-full.ts";

/** An error to send to the caller. All of it is sent, so it must hold no secrets and no content. */
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

/** Returns the error of a query. A cursor has one type of error, whatever is wrong with it. */
export function invalidQuery(error: Pick<ZodError, "issues">): ApiError {
  const isCursor = error.issues.every(({ path }) => path[0] === "cursor" || path[0] === "after");
  return isCursor ? new ApiError(badCursor().problem) : invalidInput(error);
}

/** Returns the result of a session's call. @throws ApiError if it was refused */
export function unwrap<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new ApiError(result.problem);
}

/**
 * Converts any error into one for the caller. The text of an unexpected error is not passed on;
 * which variable of the deployment is wrong is.
 * @param method of the failed request
 */
export function toApiError(error: unknown, method: string): ApiError {
  if (error instanceof ApiError) return error;
  // The router's validators throw this for malformed JSON, before they check fields.
  if (error instanceof HTTPException && error.status === 400) return problem("malformed-json");
  if (error instanceof HTTPException && error.status === 415) return problem("unsupported-media-type");
  if (isBeforeMigrations(error)) return problem("migrations-missing", { detail: MIGRATE }, { "retry-after": "10" });
  if (isStorageFull(error)) return storageFull("The Worker's disk or database is full.", method);
  const { overloaded, retryable } = (error ?? {}) as ObjectError;
  if (overloaded) return problem("unavailable", { detail: "The session is overloaded." }, { "retry-after": "10" });
  if (retryable) return problem("unavailable", { detail: "Try again." }, { "retry-after": "1" });
  if (isStorageLost(error)) return storageFull("The Worker's storage failed; the disk may be full.", method);
  if (error instanceof ConfigError) {
    return problem("internal", { detail: invalidText(error) });
  }
  return problem("internal");
}

/** Locally nobody has to do anything; `deploy:worker` applies them before the Worker that needs them. */
const MIGRATE =
  "This version needs tables or columns that it lacks. `valet up` applies its migrations whenever it starts; on Cloudflare, run " +
  "`npx --yes pnpm@12 exec wrangler d1 migrations apply DB --remote` in packages/worker. Try again.";

/** Says what became of the request: one that reads has nothing to be stored, so it has lost nothing either. */
function storageFull(cause: string, method: string): ApiError {
  const effect = READS.has(method)
    ? "This request only reads: nothing was to be stored, and no data is lost. Reading works again once there is space."
    : "This request was not stored, and no other data is lost. Free some space and send the request again.";
  return problem("storage-full", { detail: `${cause} ${effect}` });
}

const READS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** The platform's error for a call that did not reach its object (Durable Objects, "Error handling"). */
interface ObjectError {
  readonly overloaded?: boolean;
  readonly retryable?: boolean;
}

export function toResponse({ problem, headers }: ApiError): Response {
  return problemResponse(problem, headers);
}
