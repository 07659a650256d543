/** Who holds the sandboxes that a session waits for, and what to do, in sentences. They hold ids and no titles. Pure. */
import type { CapacityHolders } from "../protocol/capacity.ts";
import { counted, listed } from "./why/text.ts";

/** How many sessions a sentence names. */
const MAX_NAMED = 4;

const REACHED: Readonly<Record<CapacityHolders["limit"], string>> = {
  awake: "The limit on sandboxes awake at once (`VALET_MAX_AWAKE`) is reached",
  starting: "The limit on sandboxes that start at once (`VALET_MAX_STARTING`) is reached",
  broker: "The sandbox broker has no room for another sandbox",
};

const RAISE: Readonly<Record<CapacityHolders["limit"], string>> = {
  awake: "raise `VALET_MAX_AWAKE`",
  starting: "raise `VALET_MAX_STARTING`",
  broker: "raise the broker's own limit (`VALET_BROKER_MAX_SANDBOXES`, or its machine's memory)",
};

/** Returns which limit is reached, as a clause. */
export function reachedText({ limit }: CapacityHolders): string {
  return REACHED[limit];
}

/** Returns the sessions that hold the places: "ses_a, ses_b and 2 sessions of other owners"; empty if none is known. */
export function holdersText({ sessions, ownCount, otherCount }: CapacityHolders): string {
  const named = sessions.slice(0, MAX_NAMED).map(({ sessionId }) => sessionId);
  const more = ownCount - named.length;
  return listed([
    ...named,
    ...(more > 0 ? [`${more} more of your sessions`] : []),
    ...(otherCount > 0 ? [`${counted(otherCount, "session")} of other owners`] : []),
  ]);
}

/** Returns what to do, and the command that shows more. */
export function roomAdvice(holders: CapacityHolders): { readonly nextStep: string; readonly command: string } {
  const { limit, sessions, ownCount, otherCount } = holders;
  const [only] = sessions;
  const command = ownCount === 1 && only !== undefined ? `valet status ${only.sessionId}` : "valet status";
  if (limit === "starting") {
    return { nextStep: `Wait until one of these starts is over, or ${RAISE[limit]}.`, command };
  }
  const wait =
    ownCount + otherCount === 0
      ? "Wait: the start is tried again by itself"
      : "Wait: a session that has nothing to do makes room by itself";
  const end = ownCount === 0 ? "" : " abort and hibernate one of yours that can wait, or";
  return { nextStep: `${wait}; or${end} ${RAISE[limit]}.`, command };
}
