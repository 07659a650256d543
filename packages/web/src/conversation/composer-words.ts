/** The composer's sentences: what happens to a message if it is sent now, and why the last one failed. Pure. */
import type { Schemas } from "../api/client.ts";
import { isPassing, mayBeDone } from "../api/problem.ts";

/** Where a message goes that names no channel. */
export const MAIN_CHANNEL = "main";

/** Returns what the empty field says. */
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

/** Returns what the page says before and after the reason why a message failed. */
export function failureWords(error: unknown, hasFiles: boolean): { readonly before: string; readonly after: string } {
  const kept = `Your text ${hasFiles ? "and your files are" : "is"} kept`;
  // Only the same content keeps its id.
  if (mayBeDone(error)) {
    return {
      before: "",
      after: `The message may have arrived. ${kept}: send it again unchanged, and it arrives once.`,
    };
  }
  return { before: "It was not sent. ", after: isPassing(error) ? `${kept}: send it again later.` : `${kept}.` };
}
