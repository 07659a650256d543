import type { ProblemDetails } from "@valet/shared/http/problem";
import { type BrokerProblem, type BrokerProblemCode, brokerProblem } from "@valet/shared/protocol/sandbox-broker";
import { withoutUndefined } from "@valet/shared/without-undefined";

/** An error to send to the caller of the API. The detail holds no secrets and no content. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: BrokerProblemCode;
  /** Returns the answer's body. */
  readonly problem: BrokerProblem;

  constructor(
    code: BrokerProblemCode,
    detail?: string,
    options: { errors?: ProblemDetails["errors"]; cause?: unknown } = {},
  ) {
    const { errors, cause } = options;
    const problem = brokerProblem(code, withoutUndefined({ detail, errors }));
    super(detail ?? problem.title, { cause });
    this.code = code;
    this.problem = problem;
  }
}

/** Converts an error into one for the caller. The text of an unexpected error is not passed on. */
export function toBrokerError(error: unknown): BrokerError {
  return error instanceof BrokerError ? error : new BrokerError("internal", undefined, { cause: error });
}

/** Returns what went wrong, for the caller: without the path that an error of Node's file system names. */
export function withoutPath(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return "path" in error && "syscall" in error ? error.message.replace(/ '.*$/s, "") : error.message;
}
