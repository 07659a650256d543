/** The answer `why`: where the time and the money of a message or a workflow went, and why it failed. Pure. */
import { costText } from "../../protocol/cost.ts";
import type { TurnRecord } from "../../protocol/session-view.ts";
import type { Money, WhyFailure, WhyView } from "../../protocol/why.ts";
import { addUp } from "./add-up.ts";
import type { Segment } from "./critical-path.ts";
import { toUs } from "./forest.ts";
import { jobTimeline } from "./job-timeline.ts";
import { type Now, sentenceOf } from "./sentence.ts";
import type { WhyInput, WhyJob } from "./spans.ts";

export function why(input: WhyInput): WhyView {
  const { job, spans, turns, nowMs } = input;
  const startUs = toUs(job.acceptedAtMs);
  const endUs = Math.max(toUs(job.endedAtMs ?? nowMs), startUs);
  const wallMs = Math.round((endUs - startUs) / 1000);
  const segments = jobTimeline(job, spans, startUs, endUs);
  const parts = addUp(segments, wallMs);
  const failure = failureOf(job);
  const ended = job.outcome === null ? null : { outcome: job.outcome, reason: job.outcomeReason, failure };
  return {
    sessionId: job.sessionId,
    messageId: job.id,
    kind: job.kind,
    traceId: job.traceId,
    at: new Date(nowMs).toISOString(),
    state: job.state,
    outcome: job.outcome,
    sentence: sentenceOf(wallMs, parts, ended, job.endedAtMs === null ? nowOf(segments, endUs) : null),
    time: { wall_ms: wallMs, parts },
    money: moneyOf(turns),
    failure,
  };
}

/** Returns what the job is in at the end of its timeline. */
function nowOf(segments: readonly Segment[], endUs: number): Now | null {
  const last = segments.at(-1);
  const step = last?.path.at(-1);
  if (last === undefined || step === undefined) return null;
  const sinceUs = Math.min(step.span === null ? last.startUs : toUs(step.span.startMs), last.startUs);
  return { part: step, ms: Math.max(0, Math.round((endUs - sinceUs) / 1000)) };
}

/** Returns the money of the turn records' sums. */
function moneyOf(turns: readonly TurnRecord[]): Money {
  const known = turns.filter(({ cost_usd }) => cost_usd !== null);
  const cost = known.length === 0 ? null : known.reduce((sum, { cost_usd }) => sum + (cost_usd ?? 0), 0);
  const isKnown = turns.every(({ cost_usd, calls_without_cost }) => cost_usd !== null && calls_without_cost === 0);
  return {
    cost_usd: cost,
    known: isKnown,
    by: [],
    avoidable: [],
    sentence: turns.length === 0 ? "No turn has ended." : `${costText(cost, !isKnown)}.`,
  };
}

function failureOf({ outcome, failure }: WhyJob): WhyFailure | null {
  if (outcome === null || outcome === "ok" || failure === null) return null;
  return {
    type: failure.type,
    outcome,
    sentence: failure.message,
    cause: null,
    evidence: [],
    remedy: null,
  };
}
