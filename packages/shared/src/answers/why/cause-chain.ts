/**
 * Follows a failure from what it ended to its first cause: down to the steps that failed, and over links to starts of sandboxes and
 * other operations. Pure.
 */
import { ERRORS, type ErrorDefinition, type ErrorType, knownErrorType } from "../../spans.ts";
import { textOf } from "./model-calls.ts";
import { isJobSpan, type SpanIndex } from "./span-index.ts";
import type { WhySpan } from "./spans.ts";

/** Returns the error type or the outcome's reason of a span; `null` if it has none. */
export function reasonOf(span: WhySpan): string | null {
  return textOf(span, "error.type") ?? textOf(span, "valet.outcome.reason");
}

/** Returns whether the span failed; what somebody ended, or nobody needed any more, has not. */
export function hasFailed({ outcome, attributes }: WhySpan): boolean {
  return outcome === "error" || outcome === "lost" || (outcome === null && attributes["error.type"] !== undefined);
}

/**
 * Returns the causes of a span's end: the span itself first, then always the cause of the one before, the first cause last.
 * @param type what the span ended with
 */
export function causeChain(index: SpanIndex, span: WhySpan, type: ErrorType): readonly WhySpan[] {
  const chain = new Set([span]);
  for (let at: WhySpan | undefined = span; at !== undefined; ) {
    at = nextCause(index, at, reasonOf(at) ?? type);
    if (at === undefined || chain.has(at)) break;
    chain.add(at);
  }
  return [...chain];
}

function nextCause(index: SpanIndex, span: WhySpan, type: string): WhySpan | undefined {
  if (isJobSpan(span)) {
    return attemptOf(index, span, type) ?? startOf(index, span, type) ?? endOfSession(index, span, type);
  }
  if (isStart(span)) return failedStep(index, span, type) ?? lostBefore(index, span);
  if (isDispatch(span)) return index.children(span).find((child) => reasonOf(child) === type);
  const below = stepOf(index, span, type);
  if (below !== undefined) return below;
  if (isSessionEnd(span)) return endOfParent(index, span);
  return hasFailed(span) ? (sentJob(index, span) ?? causeOverLink(index, span)) : undefined;
}

const TASKS: ReadonlySet<string> = new Set(["valet.turn", "valet.workflow.execute"]);
const isStart = ({ name }: WhySpan) => name === "valet.sandbox.spawn" || name === "valet.sandbox.restore";
const isDispatch = ({ name }: WhySpan) => name === "valet.prompt.dispatch" || name === "valet.workflow.dispatch";

export const isSessionEnd = ({ name }: WhySpan) => name === "valet.session.terminate";

/** Returns the end of the parent session with which a child session ends. */
function endOfParent(index: SpanIndex, span: WhySpan): WhySpan | undefined {
  return span.links
    .flatMap((link) => (link.type === "caused_by" ? (index.find(link) ?? []) : []))
    .find((cause) => isSessionEnd(cause) && cause.sessionId !== span.sessionId);
}

/** Returns the job, of this or of another session, that a command sent, and whose failure it was the first to see. */
function sentJob(index: SpanIndex, span: WhySpan): WhySpan | undefined {
  if (!isTool(span) && !isWorkflowStep(span)) return undefined;
  const jobs = index.below([span], (child) => !isTool(child)).filter(isJobSpan);
  const untilMs = span.endMs ?? Number.POSITIVE_INFINITY;
  return firstEnded(jobs.filter((job) => hasFailed(job) && (job.endMs ?? Number.POSITIVE_INFINITY) <= untilMs));
}

/** Returns the first attempt of a job that ended as the job did, or the dispatch that did. */
function attemptOf(index: SpanIndex, job: WhySpan, type: string): WhySpan | undefined {
  const dispatches = [...index.children(job).filter(isDispatch), ...index.linking(job, "collected")];
  const tasks = dispatches.flatMap((dispatch) => index.children(dispatch).filter(({ name }) => TASKS.has(name)));
  const ended = [...tasks, ...dispatches].filter((each) => reasonOf(each) === type);
  return ended.find(({ name }) => TASKS.has(name)) ?? ended[0];
}

/** Returns the failed start of a sandbox that the job failed with, or else the first that failed. */
function startOf(index: SpanIndex, job: WhySpan, type: string): WhySpan | undefined {
  const failed = startsFor(index, job).filter(hasFailed);
  return failed.find((start) => reasonOf(start) === type) ?? failed[0];
}

/** Returns the starts of sandboxes that a job waited for, in order: with the starts that they repeat, and those that repeat them. */
export function startsFor(index: SpanIndex, job: WhySpan): readonly WhySpan[] {
  const waits = index.children(job).filter(({ name }) => name === "valet.queue.wait");
  const awaited = waits.flatMap(({ links }) => links.flatMap((link) => index.find(link) ?? []));
  const found = new Set([...index.linking(job, "caused_by"), ...awaited].filter(isStart));
  for (const start of found) {
    const before = start.links.flatMap((link) => (link.type === "follows" ? (index.find(link) ?? []) : []));
    for (const other of [...before, ...index.linking(start, "follows")]) {
      if (isStart(other) && (hasFailed(other) || hasFailed(start))) found.add(other);
    }
  }
  return [...found].toSorted((a, b) => a.startMs - b.startMs);
}

const SESSION_ENDS: Readonly<Record<string, string>> = {
  session_terminated: "valet.session.terminate",
  session_hibernated: "valet.sandbox.hibernate",
};

/** Returns the operation of the session that ended a job. */
function endOfSession(index: SpanIndex, job: WhySpan, type: string): WhySpan | undefined {
  const name = SESSION_ENDS[type];
  const endMs = job.endMs ?? Number.POSITIVE_INFINITY;
  return index.spans.findLast(
    (span) => span.name === name && span.sessionId === job.sessionId && span.startMs <= endMs,
  );
}

/** Steps of a start whose failure it survives. */
const HARMLESS: ReadonlySet<string> = new Set([
  "valet.runner.agent_warm_up",
  "valet.runner.repository_config",
  "valet.agent.mcp_connect",
  "valet.runner.git_submodules",
  "valet.capacity.wait",
]);

/** Returns the step that made a start fail: one with its error, else the one that failed first. */
function failedStep(index: SpanIndex, span: WhySpan, type: string): WhySpan | undefined {
  const failed = index.children(span).filter((child) => {
    return hasFailed(child) && !HARMLESS.has(child.name) && reasonOf(child) !== "broker_full";
  });
  return firstEnded(failed.filter((child) => reasonOf(child) === type)) ?? firstEnded(failed);
}

/** Returns the attempt after whose loss a start began, unless it began after another failed start. */
function lostBefore(index: SpanIndex, start: WhySpan): WhySpan | undefined {
  const reason = textOf(start, "valet.spawn.reason") ?? textOf(start, "valet.restore.reason");
  if (reason !== "recovery") return undefined;
  return index.spans.findLast(({ name, sessionId, outcome, startMs }) => {
    return TASKS.has(name) && sessionId === start.sessionId && outcome === "lost" && startMs < start.startMs;
  });
}

/** Returns the step of a turn, of an agent's run or of a start that made it fail. */
function stepOf(index: SpanIndex, span: WhySpan, type: string): WhySpan | undefined {
  const children = index.children(span);
  if (type === "model_chain_exhausted") return children.find((child) => isRun(child) && hasFailed(child));
  if (type === "workflow_step_failed") return children.find((child) => isWorkflowStep(child) && hasFailed(child));
  // A call fails as its last try does; the first was the first to fail. What cut it short is not the fault of the tries before.
  const tries = children.filter(({ name }) => name === "valet.llm.try");
  if (span.name.startsWith("chat ")) return cuts(type) ? undefined : tries.find(hasFailed);
  const same = children.filter((child) => reasonOf(child) === type);
  // Of those that were cut short with it, the one that was open for longest says most.
  if (cuts(type)) return same[0];
  return firstEnded(same) ?? (isOfStart(span) ? failedStep(index, span, type) : undefined);
}

const isTool = ({ name }: WhySpan) => name.startsWith("execute_tool ");
const isRun = ({ name }: WhySpan) => name.startsWith("invoke_agent ");
const isWorkflowStep = ({ name }: WhySpan) => name.startsWith("valet.workflow.step ");
/** Steps of a start, and the broker's: whatever fails in them makes them fail. */
const isOfStart = ({ name }: WhySpan) => /^(?:valet\.(?:sandbox|runner)\.|[A-Z]+ \/)/.test(name);

/** Returns whether open descendants end with this error, too. */
export function cuts(type: string): boolean {
  const row: ErrorDefinition = ERRORS[knownErrorType(type)];
  return row.cuts === true;
}

/** Returns the failed operation that caused this span to be. */
function causeOverLink(index: SpanIndex, span: WhySpan): WhySpan | undefined {
  const causes = span.links.flatMap((link) => (link.type === "caused_by" ? (index.find(link) ?? []) : []));
  return firstEnded(causes.filter((cause) => hasFailed(cause) && cause.startMs <= span.startMs));
}

function firstEnded(spans: readonly WhySpan[]): WhySpan | undefined {
  return spans.toSorted((a, b) => (a.endMs ?? Number.POSITIVE_INFINITY) - (b.endMs ?? Number.POSITIVE_INFINITY))[0];
}
