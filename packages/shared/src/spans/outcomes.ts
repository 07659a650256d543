/** How a span ended: `valet.outcome`. */
export const OUTCOMES = ["ok", "error", "aborted", "superseded", "skipped", "lost"] as const;
export type Outcome = (typeof OUTCOMES)[number];
