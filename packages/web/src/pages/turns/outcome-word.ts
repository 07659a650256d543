/** The word for how a turn ended. Pure. */
import type { Schemas } from "../../api/client.ts";

/** Returns the first cause of a failure, which says more than "every model failed"; otherwise the error, or the outcome. */
export function outcomeWord({
  outcome,
  error_type,
  error_cause,
}: Pick<Schemas["TurnRecord"], "outcome" | "error_type" | "error_cause">): string {
  return error_cause ?? error_type ?? outcome;
}
