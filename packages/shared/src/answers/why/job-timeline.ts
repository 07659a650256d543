/** What the time of a message or a workflow was spent on, from its acceptance to its end. Pure. */
import { covering, type Segment } from "./critical-path.ts";
import { type Forest, moved, type Node, OPEN_US, plant, shiftInto, toUs } from "./forest.ts";
import type { SpanId } from "./span-map.ts";
import type { WhyJob, WhySpan } from "./spans.ts";
import { isSandboxOperation, operationSegments, operationStep } from "./start-parts.ts";
import { reasonOf, type Step, stepOf, textOf } from "./step.ts";
import { type JobSegments, turnSegments } from "./turn-parts.ts";

const WAIT = "valet.queue.wait";
const REASON = "valet.queue.reason";
const OPERATIONS: readonly string[] = ["valet.prompt", "valet.workflow"];
const DISPATCHES: readonly string[] = ["valet.prompt.dispatch", "valet.workflow.dispatch"];
const WORK: readonly string[] = ["valet.turn", "valet.workflow.execute"];

/** An attempt, as its dispatch shows it. */
interface Attempt {
  readonly dispatch: Node;
  /** The runner's work, with its own times; `null` if none is known. */
  readonly work: Node | null;
  /** When its job ended; {@link OPEN_US} if that is unknown. */
  readonly jobEndUs: number;
  /** When its runner was last heard, if the attempt has not ended and the link to its runner is down; otherwise {@link OPEN_US}. */
  readonly goneUs: number;
}

/** All spans, by what they mean for a job. */
interface Known {
  readonly forest: Forest;
  readonly waits: readonly Node[];
  readonly attempts: readonly Attempt[];
  readonly operations: readonly Node[];
}

/** How deep jobs that wait for each other are shown within each other. They may wait in a circle. */
const MAX_JOBS_DEEP = 4;

/**
 * Returns segments that cover the job's time exactly.
 * @param endUs of an unfinished job: now
 * @param goneUs when the runner of the job's session was last heard, if the link to it is down; otherwise {@link OPEN_US}
 */
export function jobTimeline(
  job: WhyJob,
  spans: readonly WhySpan[],
  startUs: number,
  endUs: number,
  goneUs: number,
): Segment[] {
  return timelineOf(job, know(spans, job.sessionId, goneUs), startUs, endUs, 0);
}

type NamedJob = Pick<WhyJob, "sessionId" | "id" | "kind">;

function timelineOf(job: NamedJob, known: Known, startUs: number, endUs: number, depth: number): Segment[] {
  const isMine = ownedBy(job, known);
  const sent = sentJobs(job, known, depth + 1);
  const waits = known.waits.filter(({ span }) => isMine(span));
  const attempts = known.attempts.filter(({ dispatch }) => isMine(dispatch.span));
  const regions = [
    ...waits.map((wait) => ({ startUs: wait.startUs, wait, attempt: null })),
    ...attempts.map((attempt) => ({ startUs: attempt.dispatch.startUs, wait: null, attempt })),
  ].sort((a, b) => a.startUs - b.startUs);
  const others = known.attempts.filter(({ dispatch }) => !isMine(dispatch.span));
  const segments = regions.flatMap(({ wait, attempt }, index): Segment[] => {
    const from = index === 0 ? startUs : clamp(regions[index]?.startUs ?? startUs, startUs, endUs);
    const next = regions[index + 1];
    const until = next === undefined ? endUs : clamp(next.startUs, from, endUs);
    if (from >= until) return [];
    if (wait !== null) {
      const lost = regions[index - 1]?.attempt ?? null;
      return afterLoss(lost, waitSegments(wait, from, until, others, known.operations, sent));
    }
    if (attempt === null) return [];
    const within = attemptSegments(attempt, from, until, sent);
    // The job went back into the queue.
    return next?.wait === null || next === undefined ? within : around(lostStep(attempt), within);
  });
  return covering(segments, startUs, endUs, [stepOf("unattributed", null)]);
}

const isSame = (a: SpanId, b: SpanId) => a.spanId === b.spanId && a.traceId === b.traceId;
const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

function around(step: Step, segments: readonly Segment[]): Segment[] {
  return segments.map((segment) => ({ ...segment, path: [step, ...segment.path] }));
}

function know(spans: readonly WhySpan[], sessionId: string, goneUs: number): Known {
  const forest = plant(spans);
  const isOpen = ({ work }: Attempt) => work?.span.endMs === null && work.span.sessionId === sessionId;
  const nodes = forest.nodes.values();
  const named = (names: readonly string[]) => nodes.filter(({ span }) => names.includes(span.name));
  return {
    forest,
    waits: named([WAIT]),
    attempts: attemptsOf(named(DISPATCHES), forest).map((each) => (isOpen(each) ? { ...each, goneUs } : each)),
    operations: nodes.filter(isSandboxOperation).sort((a, b) => a.startUs - b.startUs),
  };
}

/**
 * Pairs dispatches with the runner's work on them. A runner's spans whose parent is unknown belong to the work on the last dispatch
 * of their trace that was sent before they ended.
 */
function attemptsOf(dispatches: readonly Node[], { roots, nodes }: Forest): Attempt[] {
  const byTrace = Map.groupBy(
    dispatches.toSorted((a, b) => a.startUs - b.startUs),
    ({ span }) => sessionTrace(span),
  );
  const orphans = roots.filter(({ span }) => span.parentId !== null && span.service === "valet-runner");
  const lost = new Map<Node, Node[]>();
  for (const orphan of orphans) {
    const sent = byTrace.get(sessionTrace(orphan.span)) ?? [];
    const dispatch = sent.findLast(({ startUs }) => startUs < orphan.endUs) ?? sent[0];
    if (dispatch === undefined) continue;
    const known = lost.get(dispatch);
    if (known === undefined) lost.set(dispatch, [orphan]);
    else known.push(orphan);
  }
  return dispatches.map((dispatch) => {
    const own = dispatch.children.find(({ span }) => WORK.includes(span.name)) ?? null;
    const { traceId, parentId } = dispatch.span;
    const jobEndUs = (parentId === null ? undefined : nodes.get({ traceId, spanId: parentId }))?.endUs ?? OPEN_US;
    const strays = lost.get(dispatch) ?? [];
    if (strays.length === 0) return { dispatch, work: own, jobEndUs, goneUs: OPEN_US };
    const work = own === null ? joined(dispatch, strays) : { ...own, children: [...own.children, ...strays] };
    return { dispatch, work, jobEndUs, goneUs: OPEN_US };
  });
}

/** A trace may go through several sessions. */
const sessionTrace = ({ sessionId, traceId }: WhySpan) => `${sessionId} ${traceId}`;

/** Returns spans whose turn is unknown as the children of their dispatch, from its acceptance on. */
function joined({ span, startUs, endUs }: Node, strays: Node[]): Node {
  return { span, startUs: endUs === OPEN_US ? startUs : endUs, endUs: OPEN_US, children: strays };
}

/** Returns the segments of jobs that a job's commands sent, and that it waited for. @param depth of those jobs */
function sentJobs({ sessionId }: NamedJob, known: Known, depth: number): JobSegments {
  return ({ span, startUs, endUs }, fromUs, untilUs) => {
    const kind = span.name === "valet.prompt" ? "message" : "workflow";
    const id = textOf(span, kind === "message" ? "valet.message.id" : "valet.workflow.execution.id");
    const isOther = span.sessionId !== sessionId;
    const step = isOther ? stepOf("child_session.work", span, span.sessionId) : stepOf("sent_job", span, id);
    if (depth > MAX_JOBS_DEEP) return [{ startUs: fromUs, endUs: untilUs, path: [step] }];
    const job = { sessionId: span.sessionId, id: id ?? "", kind } as const;
    const whole = timelineOf(job, known, startUs, Math.max(Math.min(endUs, untilUs), startUs), depth);
    return around(step, covering(whole, fromUs, untilUs, [stepOf("unattributed", span, null, null)]));
  };
}

/** Returns whether a wait or a dispatch is the job's. */
function ownedBy(job: NamedJob, { forest }: Known): (span: WhySpan) => boolean {
  const idKey = job.kind === "message" ? "valet.message.id" : "valet.workflow.execution.id";
  const own = forest.nodes
    .values()
    .find(
      ({ span }) =>
        OPERATIONS.includes(span.name) && span.attributes[idKey] === job.id && span.sessionId === job.sessionId,
    );
  const isOwn = (id: SpanId) => own !== undefined && isSame(own.span, id);
  return (span) => {
    if (span.sessionId !== job.sessionId) return false;
    if (span.parentId !== null && isOwn({ traceId: span.traceId, spanId: span.parentId })) return true;
    if (span.links.some((link) => link.type === "collected" && isOwn(link))) return true;
    return span.attributes[idKey] === job.id;
  };
}

/** Returns what a period of a wait was spent on. */
function waitSegments(
  wait: Node,
  startUs: number,
  endUs: number,
  others: readonly Attempt[],
  operations: readonly Node[],
  sent: JobSegments,
): Segment[] {
  return reasonsOf(wait, startUs, endUs).flatMap(({ reason, fromUs, untilUs }): Segment[] => {
    const all = (step: Step) => covering([], fromUs, untilUs, [step]);
    const { span } = wait;
    switch (reason) {
      case "capacity":
        return all(stepOf("queue.capacity", span, null, null));
      case "collect_debounce":
        return all(stepOf("queue.collect", span, null, null));
      case "runner_busy":
      case "system_message":
        return channelSegments(wait, fromUs, untilUs, others, sent);
      default:
        return sandboxSegments(wait, reason, fromUs, untilUs, operations);
    }
  });
}

interface Reason {
  readonly reason: string | null;
  readonly fromUs: number;
  readonly untilUs: number;
}

/** Returns why a wait lasted, piece by piece. The first reason counts from the start on. */
function reasonsOf({ span }: Node, startUs: number, endUs: number): Reason[] {
  const told = span.events
    .filter(({ name, attributes }) => name === REASON && typeof attributes[REASON] === "string")
    .map(({ atMs, attributes }) => ({ atUs: clamp(toUs(atMs), startUs, endUs), reason: String(attributes[REASON]) }))
    .sort((a, b) => a.atUs - b.atUs);
  if (told.length === 0) return [{ reason: textOf(span, REASON), fromUs: startUs, untilUs: endUs }];
  return told.flatMap(({ atUs, reason }, index) => {
    const fromUs = index === 0 ? startUs : atUs;
    const untilUs = told[index + 1]?.atUs ?? endUs;
    return fromUs < untilUs ? [{ reason, fromUs, untilUs }] : [];
  });
}

/** Returns a wait for the jobs that ran in the channel meanwhile. */
function channelSegments(
  wait: Node,
  startUs: number,
  endUs: number,
  others: readonly Attempt[],
  sent: JobSegments,
): Segment[] {
  const { links } = wait.span;
  const channel = textOf(wait.span, "valet.channel.id");
  const ran = others
    .filter(({ dispatch: { span }, jobEndUs }) => {
      if (span.sessionId !== wait.span.sessionId || jobEndUs <= startUs) return false;
      return (
        links.some((link) => isSame(link, span)) || (channel !== null && textOf(span, "valet.channel.id") === channel)
      );
    })
    .sort((a, b) => a.dispatch.startUs - b.dispatch.startUs);
  const segments = ran.flatMap((attempt, index): Segment[] => {
    const from = clamp(attempt.dispatch.startUs, startUs, endUs);
    const until = clamp(ran[index + 1]?.dispatch.startUs ?? endUs, from, endUs);
    if (from >= until) return [];
    const { span } = attempt.dispatch;
    const id = textOf(span, "valet.message.id") ?? textOf(span, "valet.workflow.execution.id");
    const step = stepOf("queue.channel", attempt.work?.span ?? span, id);
    // Its preparation began before this wait: the whole attempt is needed to know what it was doing.
    const whole = attemptSegments(attempt, Math.min(attempt.dispatch.startUs, from), until, sent);
    return around(step, covering(whole, from, until, [stepOf("unattributed", null)]));
  });
  return covering(segments, startUs, endUs, [stepOf("queue.channel", wait.span, null, null)]);
}

/** Returns a wait for the sandbox: for the operations that ran meanwhile, and for the next one between them. */
function sandboxSegments(
  wait: Node,
  reason: string | null,
  startUs: number,
  endUs: number,
  operations: readonly Node[],
): Segment[] {
  const { links } = wait.span;
  const isSandbox = reason?.startsWith("sandbox_") === true || reason === "initial_prompt";
  const awaited = operations.filter(
    (each) =>
      each.span.sessionId === wait.span.sessionId &&
      each.startUs < endUs &&
      each.endUs > startUs &&
      (isSandbox || links.some((link) => isSame(link, each.span))),
  );
  const segments = awaited.flatMap((operation): Segment[] => {
    const from = clamp(operation.startUs, startUs, endUs);
    const until = clamp(operation.endUs, from, endUs);
    return from < until ? around(operationStep(operation), operationSegments(operation, from, until)) : [];
  });
  if (!isSandbox) {
    const detail = reason === "immediate" ? null : reason;
    const gone = reason === "runner_disconnected";
    const rest = gone ? stepOf("queue.runner", wait.span, null, null) : stepOf("queue.other", wait.span, detail, null);
    return covering(segments, startUs, endUs, [rest]);
  }
  const next = awaited[0];
  const step = next === undefined ? stepOf("queue.sandbox", wait.span, null, reason) : operationStep(next);
  return covering(segments, startUs, endUs, [step, stepOf("sandbox.other", wait.span, null, null)]);
}

/** Returns what a period of an attempt was spent on. Its beginning and its end are by the object's clock. */
function attemptSegments(
  { dispatch, work, goneUs }: Attempt,
  startUs: number,
  endUs: number,
  sent: JobSegments,
): Segment[] {
  const handedOver = stepOf("dispatch", dispatch.span);
  if (work === null) {
    const accepted: Segment = { startUs, endUs: Math.min(dispatch.endUs, endUs), path: [handedOver] };
    return covering([accepted], startUs, endUs, [stepOf("unattributed", null)]);
  }
  const window = { earliestUs: dispatch.startUs, latestUs: Math.min(dispatch.endUs, endUs), endUs };
  const turn = moved(work, shiftInto(work, window), ({ span }) => span.service === "valet-runner");
  const begunUs = clamp(turn.startUs, startUs, endUs);
  const isGone = work.span.isSealed || goneUs < endUs;
  const overUs = clamp(Math.min(turn.endUs, goneUs), begunUs, endUs);
  return covering(
    [
      { startUs, endUs: begunUs, path: [handedOver] },
      ...covering(turnSegments(turn, begunUs, overUs, sent), begunUs, overUs, [
        stepOf("unattributed", work.span, null, null),
      ]),
    ],
    startUs,
    endUs,
    [isGone ? stepOf("runner_gone", work.span) : stepOf("finalize", work.span, null, null)],
  );
}

/** Returns why an attempt was lost: what ended its runner, if its span says that. */
function lossOf({ dispatch, work }: Attempt): string | null {
  const reason = work === null ? null : reasonOf(work.span);
  if (work !== null && reason === "runner_lost") return textOf(work.span, "valet.error.cause") ?? reason;
  return reason ?? reasonOf(dispatch.span);
}

/** Returns a wait with the loss of the attempt before it as why the runner was not connected. */
function afterLoss(lost: Attempt | null, segments: readonly Segment[]): Segment[] {
  const cause = lost === null ? null : lossOf(lost);
  const because = (step: Step) => (step.name === "queue.runner" ? { ...step, cause } : step);
  return segments.map((segment) => ({ ...segment, path: segment.path.map(because) }));
}

function lostStep(attempt: Attempt): Step {
  const { dispatch, work } = attempt;
  const number = dispatch.span.attributes["valet.dispatch.attempt"];
  const cause = lossOf(attempt);
  return stepOf("lost_attempt", work?.span ?? dispatch.span, number === undefined ? null : String(number), cause);
}
