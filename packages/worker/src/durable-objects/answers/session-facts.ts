/** Reads what the verdict on the session is made from. Writes nothing. */

import type { Typical } from "@valet/shared/answers/verdict/durations";
import type { FactFailure, Run, SessionFacts, StepKind } from "@valet/shared/answers/verdict/facts";
import { LIMITS, stuckLimits } from "@valet/shared/limits";
import type { CapacityHolders } from "@valet/shared/protocol/capacity";
import { messageAfterNames } from "@valet/shared/protocol/failure";
import { attributesToObject, type OpenSpan } from "@valet/shared/tracing";
import type { Intervals } from "../../config.ts";
import type { AgentRequests } from "../conversation/agent-requests.ts";
import { failureOf } from "../core/failed-as.ts";
import { isRunnerReady, type SessionRecord, type SessionState } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { AttemptRow } from "../queue/job-store.ts";
import { openSteps } from "./open-steps.ts";

export interface FactSources {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly requests: AgentRequests;
  /** The session's place in the line for a sandbox. */
  readonly line: { readonly place: number | undefined };
  /** Who holds what it waits for there. */
  readonly holders: { readonly current: CapacityHolders | undefined };
  readonly timers: Pick<Timers, "dueMs">;
  /** Returns when a failed hibernate is tried again, epoch ms, if a time is set for that. */
  readonly nextSleepTryMs: () => number | undefined;
  /** Returns when a connected runner was last heard, epoch ms. */
  readonly link: { lastSeenMs(instanceId: string): number | undefined };
  readonly traces: { openSpans(): readonly OpenSpan[]; lastSeenMs(instanceIds: readonly string[]): number | undefined };
  readonly typical: (kind: StepKind, name: string) => Typical;
  readonly intervals: Pick<Intervals, "linkSilenceMs" | "graceMs" | "acceptMs" | "stuckTurnMs">;
  readonly maxTurnMs: number;
  /** Whether steps are known: they are spans. */
  readonly tracing: boolean;
}

export function readFacts(sources: FactSources, nowMs: number): SessionFacts {
  const { state, queue, intervals, maxTurnMs, tracing } = sources;
  const { record } = state;
  const { id, state: status, answeredMs = 0 } = record;
  const spans = tracing && (record.operation !== undefined || queue.isBusy) ? sources.traces.openSpans() : [];
  return {
    sessionId: id,
    status,
    statusMs: restMs(record, queue),
    failure: failureIn(record),
    requests: requestsIn(sources),
    runs: queue.inFlight().map((attempt) => runOf(attempt, spans, sources)),
    queue: queueIn(queue),
    operation: operationIn(sources, spans),
    line: lineIn(sources),
    link: linkOf(sources, nowMs),
    sleepProblem: sleepProblemIn(sources),
    answeredMs,
    knowsSteps: tracing,
    limits: {
      linkSilenceMs: intervals.linkSilenceMs,
      heartbeatMs: LIMITS.heartbeatMs,
      graceMs: intervals.graceMs,
      acceptMs: intervals.acceptMs,
      stuckTurnMs: intervals.stuckTurnMs,
      maxTurnMs,
      providerSilenceMs: LIMITS.providerSilenceMs,
    },
  };
}

/** Returns since when the session is in its state; of one that is at rest, since its last job ended, if that is later. */
function restMs({ state, stateMs, updatedMs }: SessionRecord, queue: JobQueue): number {
  const enteredMs = stateMs ?? updatedMs;
  return state === "running" ? Math.max(enteredMs, queue.lastEndMs ?? 0) : enteredMs;
}

function sleepProblemIn({ state, nextSleepTryMs }: FactSources): SessionFacts["sleepProblem"] {
  const { sleepProblem } = state.record;
  if (sleepProblem === undefined) return null;
  const { errorType: type, detail, sinceMs } = sleepProblem;
  const retryMs = nextSleepTryMs() ?? null;
  return { type, sinceMs, retryMs, ...(detail !== undefined && { detail }) };
}

function failureIn(record: SessionRecord): FactFailure | null {
  const { errorType, failure, recovery, lastFailure, stateMs, updatedMs } = record;
  const sinceMs = stateMs ?? updatedMs;
  if (record.state === "error") {
    const type = errorType ?? "_OTHER";
    return { job: null, type, cause: failure?.cause, sinceMs, message: messageAfterNames(type, failure) };
  }
  const { failures } = recovery;
  if (failures !== undefined) {
    const { attempts: _, ...known } = failureOf(failures);
    const { errorType: first } = failures;
    return { job: null, type: first, cause: known.cause, sinceMs, message: messageAfterNames(first, known) };
  }
  if (lastFailure === undefined) return null;
  const { id, kind, errorType: type, failure: details, atMs } = lastFailure;
  return { job: { kind, id }, type, cause: details?.cause, sinceMs: atMs, message: messageAfterNames(type, details) };
}

function requestsIn({ requests }: FactSources): SessionFacts["requests"] {
  const permissions = requests.open("permission").map(({ id, permission, detail, askedAt }) => {
    return {
      kind: "permission",
      id,
      askedMs: Date.parse(askedAt),
      text: `${permission}: ${detail}`,
      count: 1,
    } as const;
  });
  const questions = requests.open("question").map(({ id, questions: asked, askedAt }) => {
    const text = asked.map(({ question }) => question).join(" ");
    return { kind: "question", id, askedMs: Date.parse(askedAt), text, count: asked.length } as const;
  });
  return [...permissions, ...questions];
}

function runOf(attempt: AttemptRow, spans: readonly OpenSpan[], sources: FactSources): Run {
  const { state, queue, requests, timers, intervals, typical } = sources;
  const { id, channel, dispatchedMs, acceptedMs, context, stop } = attempt;
  // The watchdog's timer says when the runner's last frame about the attempt arrived.
  const watchdogMs = timers.dueMs("stuck", id);
  const frameMs = watchdogMs === undefined ? 0 : watchdogMs - stuckLimits(intervals.stuckTurnMs).objectMs;
  return {
    kind: queue.jobs.kindOf(attempt),
    jobId: attempt.jobIds.at(-1) ?? "",
    channel,
    state: attempt.state === "dispatched" ? "dispatched" : "accepted",
    dispatchedMs,
    signMs: Math.max(acceptedMs ?? dispatchedMs, frameMs),
    isWaitingForPerson: requests.isWaiting(id),
    isStopping: stop !== null,
    steps: openSteps(
      spans.filter((span) => span.context.traceId === context.traceId),
      {
        clockOffsetMs: state.record.link.clockOffsetMs ?? 0,
        attempt: { spanId: context.spanId, dispatchedMs, acceptedMs: acceptedMs ?? Infinity },
        commandMs: intervals.stuckTurnMs,
        typical,
      },
    ),
  };
}

function queueIn(queue: JobQueue): SessionFacts["queue"] {
  const count = queue.jobs.queuedCount();
  const [first] = count === 0 ? [] : queue.waiting();
  return first === undefined ? null : { count, sinceMs: first.waitingSinceMs, reason: first.reason };
}

function operationIn({ state, timers }: FactSources, spans: readonly OpenSpan[]): SessionFacts["operation"] {
  const { operation } = state.record;
  if (operation === undefined) return null;
  const { kind, startedMs, stage, context } = operation;
  const isStart = kind === "spawn" || kind === "restore";
  const own = spans.filter((span) => span.context.traceId === context.traceId);
  return {
    kind,
    sinceMs: startedMs,
    dueMs: (isStart ? timers.dueMs("start") : undefined) ?? null,
    stage: stage ?? null,
    doing: isStart ? doingIn(own) : "",
  };
}

/** What a start does, by the open spans of its runner; the first that is there says most. */
const DOING: readonly (readonly [name: string, doing: string, attribute?: string])[] = [
  ["valet.runner.git_clone", "`git clone` fetches", "vcs.repository.url.full"],
  ["valet.runner.git_submodules", "git fetches the repository's submodules"],
  ["valet.runner.git_checkout", "git checks out", "vcs.ref.head.name"],
  ["valet.runner.git_setup", "the runner sets up the repository"],
  ["valet.runner.opencode_start", "OpenCode starts"],
  ["valet.runner.connect", "the runner connects"],
  ["valet.runner.bootstrap", "the runner starts"],
  ["valet.capacity.wait", "it stands in line"],
  ["valet.sandbox.create", "the broker creates it"],
];

function doingIn(spans: readonly OpenSpan[]): string {
  for (const [name, doing, key] of DOING) {
    const span = spans.find((each) => each.name === name);
    if (span === undefined) continue;
    const of = key === undefined ? undefined : attributesToObject(span.attributes)[key];
    return typeof of === "string" ? `${doing} ${of}` : doing;
  }
  return "";
}

function lineIn({ state, line, holders }: FactSources): SessionFacts["line"] {
  const { operation } = state.record;
  if (operation?.step !== "waiting") return null;
  return { sinceMs: operation.startedMs, place: line.place ?? null, holders: holders.current };
}

/** Returns what is known of the link to the runner; `null` while no runner is expected. */
export function linkOf(
  { state, link, traces }: Pick<FactSources, "state" | "link" | "traces">,
  nowMs: number,
): SessionFacts["link"] {
  const { link: own, state: status } = state.record;
  if (own.state === "gone" || (status !== "running" && status !== "hibernating")) return null;
  const seen = own.instances.map((id) => link.lastSeenMs(id) ?? 0);
  const heardMs = Math.max(traces.lastSeenMs(own.instances) ?? 0, ...seen) || nowMs;
  return { isUp: isRunnerReady(own), heardMs };
}
