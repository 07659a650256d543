/** The answer `why`: where the time and the money of a message or a workflow went, and why it failed. Pure. */
import type { SessionMoney, WhyView } from "../../protocol/why.ts";
import { holdersText } from "../capacity-text.ts";
import { addUp } from "./add-up.ts";
import { courseOf } from "./course.ts";
import type { Segment } from "./critical-path.ts";
import { failureOf } from "./failure.ts";
import { OPEN_US, toUs } from "./forest.ts";
import { jobTimeline } from "./job-timeline.ts";
import { moneyOf } from "./money.ts";
import { failureClause, moneyOfOthers, otherSessions } from "./other-sessions.ts";
import { type Now, sentenceOf } from "./sentence.ts";
import { SpanIndex } from "./span-index.ts";
import type { WhyInput } from "./spans.ts";
import type { Step } from "./step.ts";

export function why(input: WhyInput): WhyView {
  const { job, nowMs } = input;
  const capacityHolders = job.state === "ended" ? undefined : input.capacityHolders;
  const index = new SpanIndex(input.spans);
  // The job's own session may have very many spans, which say nothing about the jobs of others.
  const ofOthers = input.spans.filter(({ sessionId }) => sessionId !== job.sessionId);
  const sessions = otherSessions(input, index, (other) => {
    const { failure, money, ...view } = answerOf({ ...other, spans: ofOthers, nowMs }, index, [], "");
    const { messageId, kind, traceId, state, outcome, sentence } = view;
    const { cost_usd, known } = money;
    const time = { wall_ms: view.time.wall_ms, parts: view.time.parts };
    return { messageId, kind, traceId, state, outcome, sentence, time, cost_usd, known, failure };
  });
  const { money, ...answer } = answerOf(
    input,
    index,
    moneyOfOthers(sessions, input.others),
    heldClause(capacityHolders) + failureClause(sessions),
  );
  return {
    sessionId: job.sessionId,
    at: new Date(nowMs).toISOString(),
    ...answer,
    money,
    sessions,
    ...(capacityHolders !== undefined && { capacityHolders }),
  };
}

function heldClause(holders: WhyInput["capacityHolders"]): string {
  const held = holders === undefined ? "" : holdersText(holders);
  return held === "" ? "" : `; the places for sandboxes are held by ${held}`;
}

type Answer = Omit<WhyView, "sessionId" | "at" | "sessions" | "capacityHolders">;

/** @param clause what the sentence says of other sessions */
function answerOf(input: WhyInput, index: SpanIndex, children: readonly SessionMoney[], clause: string): Answer {
  const { job, spans, nowMs, runnerGoneMs } = input;
  const startUs = toUs(job.acceptedAtMs);
  const endUs = Math.max(toUs(job.endedAtMs ?? nowMs), startUs);
  const wallMs = Math.round((endUs - startUs) / 1000);
  const goneUs = runnerGoneMs === undefined ? OPEN_US : toUs(runnerGoneMs);
  const segments = jobTimeline(job, spans, startUs, endUs, goneUs);
  const parts = addUp(segments, wallMs);
  const failure = failureOf(input, index);
  const ended = job.outcome === null ? null : { outcome: job.outcome, reason: job.outcomeReason, failure };
  const now = job.endedAtMs === null ? nowOf(segments, endUs) : null;
  const { id: messageId, kind, traceId, state, outcome } = job;
  return {
    ...{ messageId, kind, traceId, state, outcome },
    sentence: sentenceOf(wallMs, parts, ended, now, clause),
    time: { wall_ms: wallMs, parts, course: courseOf(segments, startUs, wallMs) },
    money: moneyOf(input, index, children),
    failure,
  };
}

/** Returns what the job is in at the end of its timeline, and since when, by the object's clock. */
function nowOf(segments: readonly Segment[], endUs: number): Now | null {
  const last = segments.at(-1);
  if (last === undefined) return null;
  const step = tellingStep(last);
  const before = segments.findLastIndex((segment) => tellingStep(segment).span !== step.span);
  const sinceUs = segments[before + 1]?.startUs ?? endUs;
  return { part: step, ms: Math.round((endUs - sinceUs) / 1000) };
}

/** Returns the innermost level; of a start of whose steps none is known, the start. */
function tellingStep({ path }: Segment): Step {
  const [outer, inner] = path.slice(-2) as [Step, Step?];
  return inner === undefined || inner.name === "sandbox.other" ? outer : inner;
}
