/** Builds the API's view of a session. */
import { whyOf } from "@valet/shared/outcome";
import { type FailureView, viewFailure } from "@valet/shared/protocol/failure";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { ExportProblemView, SessionView } from "@valet/shared/protocol/session-view";
import type { VerdictView } from "@valet/shared/protocol/verdict";
import { viewIncompleteSnapshot, viewRunnerWarning, type WarningView } from "@valet/shared/protocol/warnings";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { failureOf } from "../core/failed-as.ts";
import { isoTime } from "../core/iso-time.ts";
import { remember } from "../core/remember.ts";
import { isRunnerReady, type SessionRecord, type SleepProblem } from "../core/session-state.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { AgentRequests } from "./agent-requests.ts";

/**
 * @param lastTurnMs when a turn last ended, epoch ms
 * @param sleepRetryMs when a failed hibernate is tried again, epoch ms, if a time is set for that
 * @param capacityPlace its place among the sessions that wait for a sandbox, if it waits
 * @param attention the verdict on it, if it needs attention
 * @param exportProblem why its spans do not arrive at the backend, if they do not
 */
export function viewSession(
  record: SessionRecord,
  queue: JobQueue,
  requests: AgentRequests,
  lastTurnMs: number | undefined,
  sleepRetryMs: number | undefined,
  capacityPlace: number | undefined,
  attention: VerdictView | undefined,
  exportProblem: ExportProblemView | undefined,
): SessionView {
  const { id, state, title, repoUrl, branch, ref, model, models, queueMode, idleTimeoutMs, parentSessionId } = record;
  const { errorType, trustRepositoryConfig, sandbox, sleepProblem, generation, createdMs, updatedMs, deletion } =
    record;
  const warnings = warningsOf(record);
  return {
    id,
    status: state,
    models: [...models],
    queueMode,
    idleTimeoutMs,
    generation,
    ...whyOf("error", errorType),
    ...withoutUndefined({
      failure: failureOfSession(record),
      title,
      branch,
      ref,
      model,
      parentSessionId,
      userId: record.userId ?? record.ownerId,
      terminatedBy: record.endedBy,
      sandbox,
      // A URL that an older version stored may still hold a secret.
      repoUrl: repoUrl === undefined ? undefined : shownUrl(repoUrl),
      trustRepositoryConfig: trustRepositoryConfig || undefined,
      agentOtlp: record.agentOtlp,
      askBefore: record.askBefore?.length ? [...record.askBefore] : undefined,
      // While it hibernates once more, how the last try ended is no news.
      sleepProblem: state === "running" ? sleepProblem && viewSleepProblem(sleepProblem, sleepRetryMs) : undefined,
      warnings: warnings.length > 0 ? warnings : undefined,
      capacityPlace,
      attention,
      exportProblem,
      deletion: deletion && { since: isoTime(deletion.sinceMs), reason: deletion.reason },
    }),
    agent: agentOf(record, queue),
    queueLength: queue.jobs.queuedCount(),
    permissions: requests.open("permission"),
    questions: requests.open("question"),
    createdAt: isoTime(createdMs),
    // A message that is accepted and a turn that ends need not change the record.
    updatedAt: isoTime(Math.max(updatedMs, queue.jobs.newestAcceptedMs() ?? 0, lastTurnMs ?? 0)),
  };
}

const shownUrl = remember(shownRepoUrl);

/** Returns why there is no sandbox, or why the starts before the current one failed. */
function failureOfSession({ errorType, failure, recovery }: SessionRecord): FailureView | undefined {
  if (errorType !== undefined) return viewFailure(errorType, failure);
  const { failures } = recovery;
  if (failures === undefined) return undefined;
  // The number of starts is final only when no other is tried.
  const { attempts: _, ...known } = failureOf(failures);
  return viewFailure(failures.errorType, known);
}

function warningsOf({ warnings = [], snapshot }: SessionRecord): WarningView[] {
  const { leftOut = 0 } = snapshot ?? {};
  return [...warnings.map(viewRunnerWarning), ...(leftOut > 0 ? [viewIncompleteSnapshot(leftOut)] : [])];
}

function viewSleepProblem(
  { sinceMs, retryMs: _, ...problem }: SleepProblem,
  retryMs: number | undefined,
): NonNullable<SessionView["sleepProblem"]> {
  return { ...problem, since: isoTime(sinceMs), ...(retryMs !== undefined && { retryAt: isoTime(retryMs) }) };
}

function agentOf({ state, link }: SessionRecord, queue: JobQueue): SessionView["agent"] {
  if (state === "starting" || state === "restoring") return "starting";
  if (state !== "running" && state !== "hibernating") return "none";
  if (!isRunnerReady(link)) return "disconnected";
  return queue.isBusy ? "busy" : "idle";
}
