/**
 * Why a job did not end well, or what is being retried: the first cause, what shows it, and what to do. Pure.
 */
import type { Evidence, WhyFailure } from "../../protocol/why.ts";
import { type ErrorType, knownErrorType, type Outcome } from "../../spans.ts";
import { causeChain, cuts, hasFailed, isSessionEnd, reasonOf } from "./cause-chain.ts";
import { type Cause, clauseOf, ENDED, happened, noteOf, remedyMeanwhile, remedyOf } from "./failure-text.ts";
import { textOf } from "./model-calls.ts";
import { jobSpans, SpanIndex } from "./span-index.ts";
import type { WhyInput, WhyJob, WhySpan } from "./spans.ts";
import { capitalized } from "./text.ts";
import { troubleOf } from "./trouble.ts";

/** How many spans are named as evidence at most. */
const MAX_EVIDENCE = 20;

/** @returns `null` if the job ended well, or if nothing that failed delays it */
export function failureOf(input: WhyInput, index: SpanIndex = new SpanIndex(input.spans)): WhyFailure | null {
  const { job } = input;
  const span = jobSpans(index, job)[0];
  if (job.outcome === "ok") return null;
  if (job.outcome === null) return span === undefined ? null : unfinished(index, job, span);
  const name = job.failure?.type ?? job.outcomeReason ?? (span === undefined ? null : reasonOf(span));
  // Older versions did not record why somebody ended a job.
  if (name === null && job.outcome !== "error" && job.outcome !== "lost") return null;
  const type = knownErrorType(name ?? "_OTHER");
  const chain = span === undefined ? [] : causeChain(index, span, type);
  return ended(index, job, job.outcome, type, chain);
}

function ended(
  index: SpanIndex,
  job: WhyJob,
  outcome: Outcome,
  type: ErrorType,
  chain: readonly WhySpan[],
): WhyFailure {
  const { failure } = job;
  const first = firstCause(chain);
  const what = `The ${job.kind} ${ENDED[outcome]}`;
  const evidence = evidenceOf(index, chain);
  if (first === undefined) {
    const known = failure?.cause;
    const of = failure?.of === undefined ? "" : ` \`${failure.of}\`:`;
    const why =
      known === undefined ? `${happened(type)}${endedWith(job, chain)}` : `${happened(type)};${of} ${happened(known)}`;
    const cause = known === undefined ? null : { type: known, sentence: `${capitalized(happened(known))}.` };
    return {
      type,
      outcome,
      sentence: `${what}: ${why}.`,
      cause,
      evidence,
      said: null,
      remedy: remedyOf(known ?? type, chain, failure),
    };
  }
  const clause = `${clauseOf(first)}${whereText(job, chain, first)}`;
  const isItself = first.type === type;
  const because = `${isItself && cuts(type) ? ":" : " because"} ${clause}${isItself ? "" : `; it ended with \`${type}\``}`;
  return {
    type,
    outcome,
    sentence: `${what}${because}.`,
    cause: { type: first.type, sentence: `${capitalized(clause)}.` },
    evidence,
    said: saidOf(first),
    remedy: remedyOf(first.type, chain, failure),
  };
}

/** Returns with which parent session the session ended, if it did. */
function endedWith({ sessionId }: WhyJob, chain: readonly WhySpan[]): string {
  const parent = chain.at(-1);
  if (parent === undefined || !isSessionEnd(parent) || parent.sessionId === sessionId) return "";
  return `, since its parent session \`${parent.sessionId}\` was terminated`;
}

/** Returns in which other session the cause is, if it is in one. */
function whereText(job: WhyJob, chain: readonly WhySpan[], { span }: Cause): string {
  return span.sessionId === job.sessionId ? endedWith(job, chain) : `, in the session \`${span.sessionId}\``;
}

/**
 * Returns the last link of the chain whose error type is known; `undefined` if there is none besides the job itself. Whatever cut work
 * short also ended all that was in progress: the topmost span with that error failed, and the last one is what was in progress.
 */
function firstCause(chain: readonly WhySpan[]): Cause | undefined {
  const known = chain.slice(1).filter((span) => {
    const name = reasonOf(span);
    return name !== null && knownErrorType(name) === name;
  });
  const last = known.at(-1);
  if (last === undefined) return undefined;
  const type = knownErrorType(reasonOf(last) ?? "_OTHER");
  const call = chain.findLast(({ name }) => name.startsWith("chat "));
  if (last.name === "valet.llm.try" && call !== undefined) return { span: last, type, within: call };
  const top = known.find((span) => reasonOf(span) === type) ?? last;
  return cuts(type) && top !== last
    ? { span: top, type: endOfRunner(top, type), inProgress: last }
    : { span: last, type: endOfRunner(last, type) };
}

/** Returns what the provider said, if the cause is a model call and content is captured. */
function saidOf({ span, within }: Cause): string | null {
  if (!span.name.startsWith("chat ") && span.name !== "valet.llm.try") return null;
  return textOf(span, "error.message") ?? textOf(within ?? span, "error.message");
}

/** Returns what ended the runner that a span was lost with, if the span says it; otherwise the span's own error type. */
function endOfRunner(span: WhySpan, type: ErrorType): ErrorType {
  const cause = type === "runner_lost" ? textOf(span, "valet.error.cause") : null;
  return cause !== null && knownErrorType(cause) === cause ? knownErrorType(cause) : type;
}

function unfinished(index: SpanIndex, job: WhyJob, span: WhySpan): WhyFailure | null {
  const trouble = troubleOf(index, job, span);
  if (trouble === undefined) return null;
  const { failed, meanwhile } = trouble;
  const type = knownErrorType(reasonOf(failed) ?? "_OTHER");
  const chain = causeChain(index, failed, type);
  const first = firstCause(chain);
  const shown = first ?? { span: failed, type };
  const clause = clauseOf(shown);
  return {
    type,
    outcome: failed.outcome ?? "error",
    sentence: `The ${job.kind} has not ended: ${clause}, and ${meanwhile}.`,
    cause: first === undefined ? null : { type: first.type, sentence: `${capitalized(clause)}.` },
    evidence: evidenceOf(index, chain),
    said: saidOf(shown),
    remedy: remedyMeanwhile(remedyOf(first?.type ?? type, chain, job.failure)),
  };
}

/**
 * Returns what shows a failure, the first cause first. Clocks differ between processes, so a cause that seems to have shown later than
 * its symptom gets the time of that.
 */
function evidenceOf(index: SpanIndex, chain: readonly WhySpan[]): Evidence[] {
  const siblings = chain.flatMap((span) => alike(index, span)).filter((span) => !chain.includes(span));
  const later = [...new Set(siblings)].toSorted((a, b) => shownMs(a) - shownMs(b));
  let latestMs = Number.POSITIVE_INFINITY;
  const causes = chain.map((span) => {
    latestMs = Math.min(latestMs, shownMs(span));
    return evidence(span, latestMs);
  });
  const others = later.map((span) => evidence(span, Math.max(shownMs(span), latestMs)));
  return [...causes.toReversed(), ...others].slice(0, MAX_EVIDENCE);
}

/** Returns the other tries of a call and the other models of a prompt that failed, too. */
function alike(index: SpanIndex, span: WhySpan): readonly WhySpan[] {
  const isTry = span.name === "valet.llm.try";
  if (!isTry && !span.name.startsWith("invoke_agent ")) return [];
  const parent = index.ancestors(span)[0];
  if (parent === undefined) return [];
  return index.children(parent).filter((other) => {
    return hasFailed(other) && (isTry ? other.name === span.name : other.name.startsWith("invoke_agent "));
  });
}

function shownMs({ startMs, endMs }: WhySpan): number {
  return endMs ?? startMs;
}

function evidence(span: WhySpan, atMs: number): Evidence {
  const { sessionId, traceId, spanId, name } = span;
  return { sessionId, traceId, spanId, name, at: new Date(atMs).toISOString(), note: noteOf(span) };
}
