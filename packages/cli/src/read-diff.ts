/** Reads what turns changed, also of a turn that has just ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { CHANGES_LIMITS, type DiffQuery, type DiffView, type TurnChangesView } from "@valet/shared/protocol/changes";
import type { ApiClient } from "./api-client.ts";

/** A turn's runner measures its changes after its end, for `takeMs` at most, and reports them then. */
const REPORT_MS = CHANGES_LIMITS.takeMs + 3_000;
const POLL_MS = 200;

/**
 * Returns the diff. While a turn in it has ended so recently that its runner may still report it, it is asked for again, for 5 s at most:
 * a script that reads the diff after its message gets it.
 * @throws ApiError
 */
export async function readDiff(api: Pick<ApiClient, "diff">, sessionId: string, query: DiffQuery): Promise<DiffView> {
  const deadlineMs = performance.now() + REPORT_MS;
  for (;;) {
    const diff = await api.diff(sessionId, query);
    if (!diff.turns.some(isDue) || performance.now() >= deadlineMs) return diff;
    await sleep(POLL_MS);
  }
}

function isDue({ unknown, ended_at }: TurnChangesView): boolean {
  return unknown === "not_reported" && Math.abs(Date.now() - Date.parse(ended_at)) < REPORT_MS;
}
