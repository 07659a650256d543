/**
 * The verdict's rules. Pure: `nowMs` is an argument.
 *
 * The first that applies, in this order: the session has ended, or has no sandbox for an error; something is past a limit (`stuck`);
 * the agent waits for a person; something is unusually silent (`quiet`); work runs; the session stands in line; its sandbox is not
 * ready; work is queued; the last job failed; there is nothing to do.
 */
import type { VerdictRule } from "../../protocol/verdict.ts";
import { quietAfterMs, typicalOf } from "./durations.ts";
import type { PersonRequest, Run, SessionFacts, Step } from "./facts.ts";

/** From the end of a tool's own limit until it counts as stuck, in ms: OpenCode kills its processes meanwhile. */
export const TOOL_ENDING_MS = 10_000;
/** How long queued work may wait for a snapshot that keeps failing, in ms, before the session needs attention: the next one often succeeds. */
const SNAPSHOT_WAIT_MS = 60_000;
/** How late an alarm of the object may be, in ms. */
const ALARM_DELAY_MS = 10_000;

export interface Judgement {
  readonly rule: VerdictRule;
  readonly sinceMs: number;
  readonly thresholdMs: number | null;
  /** What it is about, if the rule is about one run, step or request. */
  readonly run?: Run | undefined;
  readonly step?: Step | undefined;
  readonly request?: PersonRequest | undefined;
}

/** A rule that applies once a time has passed. */
interface Deadline extends Judgement {
  readonly thresholdMs: number;
  readonly state: "stuck" | "quiet";
}

/** Returns the verdict of the rules. */
export function judge(facts: SessionFacts, nowMs: number): Judgement {
  return (
    ended(facts) ??
    passed(facts, nowMs, "stuck") ??
    asked(facts) ??
    passed(facts, nowMs, "quiet") ??
    running(facts) ??
    waiting(facts) ??
    lastFailure(facts) ?? { rule: restRule(facts), sinceMs: facts.statusMs, thresholdMs: null }
  );
}

/** Returns when the verdict may change without any event, epoch ms; `undefined` if it cannot. */
export function nextChangeMs(facts: SessionFacts, nowMs: number): number | undefined {
  if (ended(facts) !== undefined) return undefined;
  const due = deadlines(facts).map(({ sinceMs, thresholdMs }) => sinceMs + thresholdMs);
  const future = due.filter((atMs) => atMs > nowMs);
  return future.length === 0 ? undefined : Math.min(...future);
}

function ended({ status, statusMs, failure }: SessionFacts): Judgement | undefined {
  if (status === "terminated" || status === "terminating") {
    return status === "terminated" ? { rule: "ended", sinceMs: statusMs, thresholdMs: null } : undefined;
  }
  if (status !== "error") return undefined;
  return { rule: "session_error", sinceMs: failure?.job === null ? failure.sinceMs : statusMs, thresholdMs: null };
}

/** Returns the oldest thing that is past its time. */
function passed(facts: SessionFacts, nowMs: number, state: Deadline["state"]): Judgement | undefined {
  const over = deadlines(facts).filter((each) => each.state === state && nowMs - each.sinceMs >= each.thresholdMs);
  const [first, ...others] = over;
  if (first === undefined) return undefined;
  const { state: _, ...judgement } = others.reduce((a, b) => (b.sinceMs < a.sinceMs ? b : a), first);
  return judgement;
}

function deadlines(facts: SessionFacts): Deadline[] {
  const { link, runs, operation, limits, queue, sleepProblem } = facts;
  const all: Deadline[] = [];
  if (link !== null && runs.length > 0) {
    all.push({ state: "stuck", rule: "runner_silent", sinceMs: link.heardMs, thresholdMs: limits.linkSilenceMs });
  }
  if (operation?.dueMs != null) {
    const thresholdMs = Math.max(0, operation.dueMs - operation.sinceMs) + ALARM_DELAY_MS;
    all.push({ state: "stuck", rule: "operation_overdue", sinceMs: operation.sinceMs, thresholdMs });
  }
  if (queue !== null && link === null && sleepProblem !== null) {
    const sinceMs = Math.max(sleepProblem.sinceMs, queue.sinceMs);
    all.push({ state: "stuck", rule: "files_unkept", sinceMs, thresholdMs: SNAPSHOT_WAIT_MS });
  }
  for (const run of runs) all.push(...deadlinesOf(run, facts));
  return all;
}

function deadlinesOf(run: Run, facts: SessionFacts): Deadline[] {
  const { link, limits, answeredMs, knowsSteps } = facts;
  const { dispatchedMs, steps } = run;
  if (run.state === "dispatched") {
    const thresholdMs = limits.acceptMs + ALARM_DELAY_MS;
    return [{ state: "stuck", rule: "dispatch_unaccepted", sinceMs: dispatchedMs, thresholdMs, run }];
  }
  const all: Deadline[] = [
    { state: "stuck", rule: "turn_too_long", sinceMs: dispatchedMs, thresholdMs: limits.maxTurnMs, run },
  ];
  // A person may take any time, and nothing is heard of a runner without a link: other rules are about that.
  if (run.isWaitingForPerson || steps.some(({ kind }) => kind === "person")) return all;
  const awaited = awaitedSteps(steps);
  const ownLimits = awaited.filter(hasOwnLimit);
  if (ownLimits.length === 0 && knowsSteps) {
    // The runner ends such a turn itself, after `stuckTurnMs` without an event. It reports events at most a quarter of that apart.
    const sinceMs = Math.max(run.signMs, answeredMs, ...awaited.map(lastOf));
    all.push({ state: "stuck", rule: "turn_silent", sinceMs, thresholdMs: limits.stuckTurnMs * 1.25, run });
  }
  for (const step of awaited) all.push(...deadlinesOfStep(step, run, facts));
  if (awaited.length === 0 && knowsSteps && link?.isUp === true) {
    const sinceMs = Math.max(run.signMs, answeredMs);
    all.push({ state: "quiet", rule: "turn_quiet", sinceMs, thresholdMs: quietAfterMs(typicalOf("", "")), run });
  }
  return all;
}

function deadlinesOfStep(step: Step, run: Run, { answeredMs, limits, link }: SessionFacts): Deadline[] {
  const { kind, timeoutMs, typical } = step;
  if (timeoutMs !== null && kind !== "retry") {
    // The tool itself may have waited for a person; its limit counts from then.
    const sinceMs = Math.max(step.sinceMs, answeredMs);
    const rule = kind === "command" ? "command_overran" : "tool_overran";
    return [{ state: "stuck", rule, sinceMs, thresholdMs: timeoutMs + TOOL_ENDING_MS, run, step }];
  }
  // A pause before a retry is no silence until it is over.
  const sinceMs = Math.max(lastOf(step) + (timeoutMs ?? 0), answeredMs);
  const all: Deadline[] = [];
  if (link?.isUp === true) {
    all.push({ state: "quiet", rule: "step_quiet", sinceMs, thresholdMs: quietAfterMs(typical), run, step });
  }
  if (kind === "model") {
    all.push({ state: "stuck", rule: "model_silent", sinceMs, thresholdMs: limits.providerSilenceMs, run, step });
  }
  return all;
}

/** Returns whether a step has a limit of its own, within which silence is expected. */
function hasOwnLimit({ timeoutMs }: Step): boolean {
  return timeoutMs !== null;
}

/** Returns when anything was last heard of a step, or when it began. */
function lastOf({ sinceMs, askedMs, heardMs }: Step): number {
  return Math.max(sinceMs, askedMs ?? 0, heardMs ?? 0);
}

/** Returns the steps that the work waits for: a model whose answer called the tools that run now is not one of them. */
export function awaitedSteps(steps: readonly Step[]): readonly Step[] {
  const tools = steps.filter(({ kind }) => kind === "tool");
  return steps.filter((step) => step.kind !== "model" || !tools.some(({ sinceMs }) => sinceMs >= step.sinceMs));
}

function asked({ requests }: SessionFacts): Judgement | undefined {
  const [first, ...others] = requests;
  if (first === undefined) return undefined;
  const request = others.reduce((a, b) => (b.askedMs < a.askedMs ? b : a), first);
  const rule = request.kind === "permission" ? "permission_asked" : "question_asked";
  return { rule, sinceMs: request.askedMs, thresholdMs: null, request };
}

/** Returns the run that has been going on for longest, unless the runner is away. */
function running({ runs, link }: SessionFacts): Judgement | undefined {
  const [first, ...others] = runs;
  if (first === undefined) return undefined;
  if (link?.isUp !== true) {
    return { rule: "runner_reconnecting", sinceMs: link?.heardMs ?? first.dispatchedMs, thresholdMs: null, run: first };
  }
  const run = others.reduce((a, b) => (b.dispatchedMs < a.dispatchedMs ? b : a), first);
  const rule = run.state === "accepted" ? "work_running" : "work_dispatched";
  return { rule, sinceMs: run.dispatchedMs, thresholdMs: null, run };
}

function waiting(facts: SessionFacts): Judgement | undefined {
  const { line, operation, status, statusMs, queue, link } = facts;
  if (line !== null) return { rule: "in_line", sinceMs: line.sinceMs, thresholdMs: null };
  const start = { starting: "sandbox_starting", restoring: "sandbox_restoring", recovering: "sandbox_lost" } as const;
  if (status === "starting" || status === "restoring" || status === "recovering") {
    return { rule: start[status], sinceMs: operation?.sinceMs ?? statusMs, thresholdMs: null };
  }
  if (queue === null) return undefined;
  const { sinceMs } = queue;
  if (status === "hibernating") return { rule: "sandbox_stopping", sinceMs, thresholdMs: null };
  if (status === "running" && link?.isUp !== true) return { rule: "runner_reconnecting", sinceMs, thresholdMs: null };
  return { rule: "work_queued", sinceMs, thresholdMs: null };
}

function lastFailure({ failure, status }: SessionFacts): Judgement | undefined {
  if (failure === null || failure.job === null || status === "terminating") return undefined;
  return { rule: "job_failed", sinceMs: failure.sinceMs, thresholdMs: null };
}

function restRule({ status }: SessionFacts): "no_work" | "asleep" | "ended" {
  if (status === "terminating") return "ended";
  return status === "hibernated" || status === "hibernating" ? "asleep" : "no_work";
}
