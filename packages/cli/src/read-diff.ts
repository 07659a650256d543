/** Reads what turns changed, also of a turn that has just ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { CHANGES_LIMITS, type DiffQuery, type DiffView, type TurnChangesView } from "@valet/shared/protocol/changes";
import type { ApiClient } from "./api-client.ts";

/** A turn's runner measures its changes after its end, for `takeMs` at most, and reports them then. */
const REPORT_MS = CHANGES_LIMITS.takeMs + 3_000;
const POLL_MS = 200;
const SLOW_MS = 2_000;

/**
 * Returns the diff. If a turn in it has ended so recently that its runner may still report its changes, this waits for the report, for 5 s
 * at most.
 * @param onSlow called once if that takes longer than 2 s
 * @throws ApiError
 */
export async function readDiff(
  api: Pick<ApiClient, "diff">,
  sessionId: string,
  query: DiffQuery,
  onSlow: () => void = () => {},
): Promise<DiffView> {
  const isReported = ({ turns }: DiffView) => !turns.some(isDue);
  const first = await api.diff(sessionId, query);
  if (isReported(first)) return first;
  const deadlineMs = performance.now() + REPORT_MS;
  const slow = setTimeout(onSlow, SLOW_MS);
  try {
    while (performance.now() < deadlineMs) {
      await sleep(POLL_MS);
      if (isReported(await api.diff(sessionId, { ...query, patch: "none" }))) break;
    }
    return await api.diff(sessionId, query);
  } finally {
    clearTimeout(slow);
  }
}

function isDue({ unknown, ended_at }: TurnChangesView): boolean {
  return unknown === "not_reported" && Math.abs(Date.now() - Date.parse(ended_at)) < REPORT_MS;
}
