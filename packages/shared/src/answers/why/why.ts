/** The answer `why`: where the time and the money of a message or a workflow went, and why it failed. Pure. */
import type { WhyView } from "../../protocol/why.ts";
import { addUp } from "./add-up.ts";
import type { Segment } from "./critical-path.ts";
import { failureOf } from "./failure.ts";
import { toUs } from "./forest.ts";
import { jobTimeline } from "./job-timeline.ts";
import { moneyOf } from "./money.ts";
import { type Now, sentenceOf } from "./sentence.ts";
import { SpanIndex } from "./span-index.ts";
import type { WhyInput } from "./spans.ts";
import type { Step } from "./step.ts";

export function why(input: WhyInput): WhyView {
  const { job, spans, nowMs } = input;
  const startUs = toUs(job.acceptedAtMs);
  const endUs = Math.max(toUs(job.endedAtMs ?? nowMs), startUs);
  const wallMs = Math.round((endUs - startUs) / 1000);
  const segments = jobTimeline(job, spans, startUs, endUs);
  const parts = addUp(segments, wallMs);
  const index = new SpanIndex(spans);
  const failure = failureOf(input, index);
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
    money: moneyOf(input, index),
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
