/** The session as it looks from outside. */
import { whyOf } from "@valet/shared/outcome";
import { type FailureView, viewFailure } from "@valet/shared/protocol/failure";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { ExportProblemView, SessionView } from "@valet/shared/protocol/session-view";
import { viewIncompleteSnapshot, viewRunnerWarning, type WarningView } from "@valet/shared/protocol/warnings";
import { failureOf } from "../core/failed-as.ts";
import { isoTime } from "../core/iso-time.ts";
import type { SessionRecord, SleepProblem } from "../core/session-state.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { AgentRequests } from "./agent-requests.ts";

/**
 * @param capacityPlace its place among the sessions that wait for a sandbox, where it does
 * @param exportProblem of its spans, where they do not arrive
 */
export function viewSession(
  record: SessionRecord,
  queue: JobQueue,
  requests: AgentRequests,
  capacityPlace: number | undefined,
  exportProblem: ExportProblemView | undefined,
): SessionView {
  const { id, state, title, repoUrl, branch, ref, model, models, queueMode, idleTimeoutMs, parentSessionId } = record;
  const { errorType, trustRepositoryConfig, sandbox, sleepProblem, generation, createdMs, updatedMs } = record;
  const failure = failureOfSession(record);
  const warnings = warningsOf(record);
  return {
    ...{ id, status: state, models: [...models], queueMode, idleTimeoutMs, generation },
    ...whyOf("error", errorType),
    ...(failure !== undefined && { failure }),
    ...(title !== undefined && { title }),
    // What an older version took may still hold what it should not.
    ...(repoUrl !== undefined && { repoUrl: shownRepoUrl(repoUrl) }),
    ...(branch !== undefined && { branch }),
    ...(ref !== undefined && { ref }),
    ...(trustRepositoryConfig === true && { trustRepositoryConfig }),
    ...(model !== undefined && { model }),
    ...(parentSessionId !== undefined && { parentSessionId }),
    ...(sleepProblem !== undefined && { sleepProblem: viewSleepProblem(sleepProblem) }),
    ...(warnings.length > 0 && { warnings }),
    ...(sandbox !== undefined && { sandbox }),
    agent: agentOf(record, queue),
    ...(capacityPlace !== undefined && { capacityPlace }),
    queueLength: queue.jobs.queuedCount(),
    permissions: requests.open("permission"),
    questions: requests.open("question"),
    ...(exportProblem !== undefined && { exportProblem }),
    createdAt: isoTime(createdMs),
    updatedAt: isoTime(updatedMs),
  };
}

/** Why there is no sandbox, or why the starts before the one under way failed. */
function failureOfSession({ errorType, failure, recovery }: SessionRecord): FailureView | undefined {
  if (errorType !== undefined) return viewFailure(errorType, failure);
  const { failures } = recovery;
  if (failures === undefined) return undefined;
  // Starts are still being tried: how often is no end of it yet.
  const { attempts: _, ...known } = failureOf(failures);
  return viewFailure(failures.errorType, known);
}

function warningsOf({ warnings = [], snapshot }: SessionRecord): WarningView[] {
  const { leftOut = 0 } = snapshot ?? {};
  return [...warnings.map(viewRunnerWarning), ...(leftOut > 0 ? [viewIncompleteSnapshot(leftOut)] : [])];
}

function viewSleepProblem({ sinceMs, retryMs, ...problem }: SleepProblem): NonNullable<SessionView["sleepProblem"]> {
  return { ...problem, since: isoTime(sinceMs), retryAt: isoTime(retryMs) };
}

function agentOf({ state, link }: SessionRecord, queue: JobQueue): SessionView["agent"] {
  if (state === "starting" || state === "restoring") return "starting";
  if (state !== "running" && state !== "hibernating") return "none";
  if (link.state !== "connected" || !link.ready) return "disconnected";
  return queue.isBusy ? "busy" : "idle";
}
