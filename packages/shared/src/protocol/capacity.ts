/** Which sessions hold what a session waits for that stands in line for a sandbox. */
import { z } from "zod";

/** The limits for which sessions stand in line. */
export const CAPACITY_LIMITS = [
  /** Of sandboxes awake at once. */
  "awake",
  /** Of sandboxes that start at once. */
  "starting",
  /** The broker's own: it has refused the start. */
  "broker",
] as const;

/** How many sessions are named at most. */
export const MAX_HOLDERS = 20;

export const CapacityHolders = z.object({
  limit: z
    .enum(CAPACITY_LIMITS)
    .describe(
      "What is reached: `awake` (`VALET_MAX_AWAKE`), `starting` (`VALET_MAX_STARTING`), or the broker's own limit",
    ),
  sessions: z
    .array(z.object({ sessionId: z.string(), title: z.string().nullable() }))
    .max(MAX_HOLDERS)
    .describe(`Your sessions that count against it, at most ${MAX_HOLDERS}`),
  ownCount: z.int().nonnegative().describe("How many sessions of yours count against it"),
  otherCount: z.int().nonnegative().describe("How many sessions of other owners count against it"),
});
export type CapacityHolders = z.infer<typeof CapacityHolders>;
