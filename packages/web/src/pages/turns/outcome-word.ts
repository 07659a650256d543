/** The word for how a turn ended. Pure. */
import { firstCause } from "@valet/shared/protocol/first-cause";
import type { Schemas } from "../../api/client.ts";

/** Returns the first cause of a failure, which says more than "every model failed"; otherwise the error, or the outcome. */
export function outcomeWord(turn: Pick<Schemas["TurnRecord"], "outcome" | "error_type" | "error_cause">): string {
  return firstCause(turn) ?? turn.outcome;
}
