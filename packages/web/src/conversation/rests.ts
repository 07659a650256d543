/** When a session's sandbox slept, as the conversation tells it. Pure. */
import type { LifeStretch } from "../timeline/lifecycle.ts";

export interface Rest {
  /** Epoch ms. */
  readonly startMs: number;
  /** Epoch ms; `undefined` while it sleeps. */
  readonly endMs: number | undefined;
  /** How long the restore took that ended it, ms; `undefined` if it is not known, or has not ended. */
  readonly restoreMs: number | undefined;
}

/** @param lifecycle in order */
export function restsOf(lifecycle: readonly LifeStretch[]): Rest[] {
  return lifecycle.flatMap(({ state, startMs, endMs }, index): Rest[] => {
    if (state !== "hibernated") return [];
    const next = lifecycle[index + 1];
    const isRestored = next?.state === "restoring" && !next.hasFailed && next.endMs !== undefined;
    return [{ startMs, endMs, restoreMs: isRestored ? (next.endMs ?? next.startMs) - next.startMs : undefined }];
  });
}
