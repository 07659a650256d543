/** What the empty field says: what becomes of a message that is sent now. Pure. */
import type { Schemas } from "../api/client.ts";

/** Where a message goes that names no channel. */
export const MAIN_CHANNEL = "main";

export function placeholderOf(
  { status, agent }: Pick<Schemas["SessionView"], "status" | "agent">,
  isBusy: boolean,
  mode: NonNullable<Schemas["SendMessage"]["queueMode"]>,
): string {
  if (status === "hibernated") return "Message the agent; it wakes the session";
  if (!isBusy && agent !== "busy") return "Message the agent";
  if (mode === "steer") return "Message the agent; it takes the running turn's place";
  return mode === "collect"
    ? "Message the agent; it is collected for the next turn"
    : "Message the agent; it is queued behind this turn";
}
