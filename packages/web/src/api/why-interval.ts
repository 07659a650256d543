/** How often the answer about a message that runs is read. Pure. */
import type { Schemas } from "./client.ts";

/** How often the answer about a message that has not ended is read, ms: it costs the session more, the longer the message runs. */
const SHORT_MS = 2_000;
export const MEDIUM_MS = 5_000;
const LONG_MS = 15_000;
const MINUTE_MS = 60_000;

/** Returns in how many ms to read the answer again; `false` if it does not change any more. */
export function whyEveryMs({ state, time }: Pick<Schemas["WhyView"], "state"> & { time: { wall_ms: number } }) {
  if (state === "ended") return false;
  if (time.wall_ms < MINUTE_MS) return SHORT_MS;
  return time.wall_ms < 10 * MINUTE_MS ? MEDIUM_MS : LONG_MS;
}
