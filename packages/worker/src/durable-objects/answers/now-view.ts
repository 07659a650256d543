/** Builds the API's view of what a session does now. */
import type { SessionFacts, Step } from "@valet/shared/answers/verdict/facts";
import { knownSum } from "@valet/shared/protocol/cost";
import { MAX_QUEUED_NOW, type NowView, type RunNow, type StepNow } from "@valet/shared/protocol/now";
import type { VerdictView } from "@valet/shared/protocol/verdict";
import type { AgentRequests } from "../conversation/agent-requests.ts";
import type { TurnRecords } from "../conversation/turn-records.ts";
import { isoTime } from "../core/iso-time.ts";
import type { SessionState } from "../core/session-state.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { AttemptRow } from "../queue/job-store.ts";

export interface NowSources {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly requests: AgentRequests;
  readonly records: Pick<TurnRecords, "cost">;
}

/** @param facts the facts that the verdict was made from, at `nowMs` */
export function viewNow(sources: NowSources, facts: SessionFacts, verdict: VerdictView, nowMs: number): NowView {
  const { state, queue, requests } = sources;
  const { id, title = null, state: status } = state.record;
  const attempts = queue.inFlight();
  const { operation, line, link } = facts;
  const isStart = operation?.kind === "spawn" || operation?.kind === "restore";
  const queued = queue.waiting();
  const { usd, isPartial } = costSoFar(sources, attempts, facts);
  return {
    sessionId: id,
    at: isoTime(nowMs),
    title,
    status,
    verdict,
    running: attempts.map((attempt, index) => viewRun(attempt, facts.runs[index]?.steps ?? [], sources, facts, nowMs)),
    queue: queued.slice(0, MAX_QUEUED_NOW).map(({ id: jobId, kind, channel, reason, waitingSinceMs }) => ({
      id: jobId,
      kind,
      channel,
      reason,
      since: isoTime(waitingSinceMs),
      wait_ms: Math.max(0, nowMs - waitingSinceMs),
    })),
    queueLength: queued.length,
    capacityPlace: line?.place ?? null,
    ...(line?.holders !== undefined && { capacityHolders: line.holders }),
    start:
      isStart && operation !== null
        ? {
            kind: operation.kind === "restore" ? "restore" : "spawn",
            since: isoTime(operation.sinceMs),
            age_ms: Math.max(0, nowMs - operation.sinceMs),
            stage: operation.stage,
            doing: operation.doing || null,
          }
        : null,
    runnerHeardAt: link === null ? null : isoTime(link.heardMs),
    permissions: requests.open("permission"),
    questions: requests.open("question"),
    cost_usd: usd,
    isCostPartial: isPartial,
  };
}

/**
 * Returns the cost of the turns that have ended and, as far as the runner has reported it, of those that run.
 * Without tracing, a runner reports its cost at the end of a turn only. A runner whose link is down may have spent more than it reported.
 */
function costSoFar({ records }: NowSources, attempts: readonly AttemptRow[], { knowsSteps, link }: SessionFacts) {
  const ended = records.cost();
  const running = attempts.map(({ progress }) => progress);
  const isKnown = knowsSteps && link?.isUp === true;
  const lacking = running.filter((summary) => !isKnown || (summary !== null && isLacking(summary)));
  const missing = (ended.isPartial ? 1 : 0) + lacking.length;
  const total = running.reduce((sum, summary) => sum + (summary?.costUsd ?? 0), ended.usd ?? 0);
  return { usd: knownSum(total, missing), isPartial: missing > 0 };
}

function isLacking({ costUsd, callsWithoutCost = 0 }: NonNullable<AttemptRow["progress"]>): boolean {
  return costUsd === null || callsWithoutCost > 0;
}

function viewRun(
  attempt: AttemptRow,
  steps: readonly Step[],
  { queue }: NowSources,
  { link }: SessionFacts,
  nowMs: number,
): RunNow {
  const { jobIds, channel, number, state, stop, dispatchedMs, progress } = attempt;
  return {
    id: jobIds.at(-1) ?? "",
    kind: queue.jobs.kindOf(attempt),
    channel,
    attempt: number,
    isAccepted: state === "accepted",
    isStopping: stop !== null,
    dispatchedAt: isoTime(dispatchedMs),
    age_ms: Math.max(0, nowMs - dispatchedMs),
    cost_usd: progress?.costUsd ?? null,
    isCostPartial: progress === null || link?.isUp !== true || isLacking(progress),
    steps: steps.map((step) => viewStep(step, nowMs)),
  };
}

function viewStep({ kind, name, sinceMs, heardMs, byteMs, timeoutMs, typical }: Step, nowMs: number): StepNow {
  return {
    kind,
    name: name || null,
    since: isoTime(sinceMs),
    age_ms: Math.max(0, nowMs - sinceMs),
    heardAt: heardMs === null ? null : isoTime(heardMs),
    lastByteAt: byteMs === null ? null : isoTime(byteMs),
    timeout_ms: timeoutMs,
    typical_p99_ms: typical.p99Ms,
    typical_samples: typical.samples,
  };
}
