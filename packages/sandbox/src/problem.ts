import type { BrokerProblem, BrokerProblemCode } from "@valet/shared/protocol/sandbox-broker";

interface Kind {
  readonly status: 400 | 401 | 404 | 409 | 413 | 500 | 503 | 504;
  readonly title: string;
}

const KINDS: Record<BrokerProblemCode, Kind> = {
  invalid_request: { status: 400, title: "The request is not valid" },
  unauthorized: { status: 401, title: "The bearer token is missing or wrong" },
  not_found: { status: 404, title: "There is no such thing" },
  sandbox_gone: { status: 409, title: "The sandbox is gone" },
  stale_generation: { status: 409, title: "The session has a newer sandbox" },
  generation_conflict: { status: 409, title: "This generation was asked for with other arguments" },
  payload_too_large: { status: 413, title: "The request is too large" },
  start_failed: { status: 500, title: "The sandbox could not be started" },
  snapshot_failed: { status: 500, title: "The snapshot could not be taken" },
  limit_exceeded: { status: 504, title: "It took longer than the caller allows" },
  terminate_failed: { status: 500, title: "The sandbox could not be removed" },
  capacity: { status: 503, title: "There are as many sandboxes as this broker takes" },
  internal: { status: 500, title: "The broker failed" },
  shutting_down: { status: 503, title: "The broker is shutting down" },
};

/** What a request ends with that cannot be answered as asked. The detail is sent to the caller: no secrets, no content. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: BrokerProblemCode;
  readonly detail: string | undefined;
  readonly errors: BrokerProblem["errors"];

  constructor(
    code: BrokerProblemCode,
    detail?: string,
    options: { errors?: BrokerProblem["errors"]; cause?: unknown } = {},
  ) {
    super(detail ?? KINDS[code].title, { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.errors = options.errors;
  }

  get status(): Kind["status"] {
    return KINDS[this.code].status;
  }

  /** The body of the answer. */
  toProblem(): BrokerProblem {
    const { status, title } = KINDS[this.code];
    return {
      type: `urn:valet:broker:${this.code}`,
      title,
      status,
      code: this.code,
      ...(this.detail !== undefined && { detail: this.detail }),
      ...(this.errors !== undefined && { errors: this.errors }),
    };
  }
}

/** The error as the caller is told it. What the broker did not foresee keeps its text to itself. */
export function toBrokerError(error: unknown): BrokerError {
  return error instanceof BrokerError ? error : new BrokerError("internal", undefined, { cause: error });
}
