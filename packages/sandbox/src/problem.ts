import type { ProblemDetails } from "@valet/shared/http/problem";
import { type BrokerProblem, type BrokerProblemCode, brokerProblem } from "@valet/shared/protocol/sandbox-broker";

/** What a request ends with that cannot be answered as asked. The detail is sent to the caller: no secrets, no content. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: BrokerProblemCode;
  /** The body of the answer. */
  readonly problem: BrokerProblem;

  constructor(
    code: BrokerProblemCode,
    detail?: string,
    options: { errors?: ProblemDetails["errors"]; cause?: unknown } = {},
  ) {
    const { errors, cause } = options;
    const problem = brokerProblem(code, {
      ...(detail !== undefined && { detail }),
      ...(errors !== undefined && { errors }),
    });
    super(detail ?? problem.title, { cause });
    this.code = code;
    this.problem = problem;
  }
}

/** The error as the caller is told it. What the broker did not foresee keeps its text to itself. */
export function toBrokerError(error: unknown): BrokerError {
  return error instanceof BrokerError ? error : new BrokerError("internal", undefined, { cause: error });
}
