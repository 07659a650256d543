/** Converts reasons of outcomes and details of failures to the form of the API's views. */
import { whyOf } from "@valet/shared/outcome";
import { type Failure, viewFailure } from "@valet/shared/protocol/failure";
import { type ErrorType, knownErrorType, type Outcome } from "@valet/shared/spans";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { StartFailures } from "./session-state.ts";

/** Returns the runner's details of a failure; `undefined` if it reports none. */
export function failureIn({
  cause,
  causeOf,
}: {
  readonly cause?: string | undefined;
  readonly causeOf?: string | undefined;
}): Failure | undefined {
  if (cause === undefined && causeOf === undefined) return undefined;
  return withoutUndefined({ cause: cause === undefined ? undefined : knownErrorType(cause), of: causeOf });
}

/** Returns the reason under its name for the outcome, and for a failure also what happened and what to do. */
export function failedAs(outcome: Outcome, reason: ErrorType | null | undefined, failure: Failure | null | undefined) {
  const why = whyOf(outcome, reason);
  return { ...why, ...(why.errorType !== undefined && { failure: viewFailure(why.errorType, failure) }) };
}

/** Returns the details of why there is no sandbox. */
export function failureOf({ stage, logLine, protocols, count }: Omit<StartFailures, "errorType">): Failure {
  return { ...withoutUndefined({ stage, logLine, protocols }), attempts: count };
}
