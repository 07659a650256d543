/** Calls that were paid and gave nothing: of lost attempts, of models that then failed, without a usable answer. Pure. */
import { costText } from "../../protocol/cost.ts";
import type { AvoidableReason } from "../../protocol/why.ts";
import { ERRORS, type ErrorDefinition, knownErrorType } from "../../spans.ts";
import { type ModelCall, textOf } from "./model-calls.ts";
import type { SpanIndex } from "./span-index.ts";
import type { WhySpan } from "./spans.ts";
import { capitalized, counted, listed } from "./text.ts";

/** Calls whose cost was avoidable, for one reason. */
export interface Waste {
  readonly reason: AvoidableReason;
  readonly calls: readonly ModelCall[];
  /** What they cost more, where that is not their whole cost. */
  readonly extra?: Amount;
  /** @param amount what the calls that count for this reason cost more */
  sentence(amount: Amount, calls: readonly ModelCall[]): string;
}

/** An amount of money of which a part may be unknown. */
export interface Amount {
  /** The known part; `null` if none is known. */
  readonly usd: number | null;
  /** Whether that is all of it. */
  readonly isKnown: boolean;
}

/** Returns an amount that begins a sentence. */
export function amountText({ usd, isKnown }: Amount): string {
  return usd === null ? "An unknown amount" : capitalized(costText(usd, !isKnown));
}

/** Returns the calls of turns and workflow steps whose runner was lost, where another attempt did the same again. */
export function lostAttempts(index: SpanIndex, own: readonly WhySpan[], calls: readonly ModelCall[]): Waste[] {
  const tasks = own.filter(({ name }) => name === "valet.turn" || name.startsWith("valet.workflow.step "));
  const lastStartMs = new Map(tasks.map(({ name, startMs }) => [name, startMs]));
  const lost = tasks.filter((task) => {
    const isLost = task.outcome === "lost" || textOf(task, "error.type") === "runner_lost";
    return isLost && (lastStartMs.get(task.name) ?? 0) > task.startMs;
  });
  const below = new Set(index.below(lost));
  return wasted(
    "lost_attempt",
    calls.filter(({ span }) => below.has(span)),
    (amount, of) => {
      return `${amountText(amount)} went to ${counted(of.length, "model call")} of an attempt whose runner was lost; the next attempt began anew.`;
    },
  );
}

/** Returns the calls of each model that failed in the end, so that another took over. */
export function failovers(index: SpanIndex, own: readonly WhySpan[], calls: readonly ModelCall[]): Waste[] {
  const failed = new Set(own.filter(({ name, outcome }) => name.startsWith("invoke_agent ") && outcome === "error"));
  if (failed.size === 0) return [];
  const byRun = Map.groupBy(
    calls.filter(({ mayBeCharged }) => mayBeCharged),
    ({ span }) => index.ancestors(span).findLast((ancestor) => failed.has(ancestor)),
  );
  return [...byRun].flatMap(([run, of]) => {
    const next = run && index.linking(run, "follows").find(({ name }) => name.startsWith("invoke_agent "));
    if (run === undefined || next === undefined) return [];
    const [from, to] = [run, next].map((each) => textOf(each, "valet.failover.model") ?? "another model");
    const error = textOf(run, "error.type") ?? "_OTHER";
    const sentence: Waste["sentence"] = (amount, free) =>
      `${amountText(amount)} went to ${counted(free.length, "call")} of \`${from}\`, which then failed with \`${error}\`, so that \`${to}\` took over.`;
    return wasted("failover", of, sentence);
  });
}

/** Returns the calls that failed by themselves after they had, or may have, been charged. */
export function failedCalls(calls: readonly ModelCall[]): Waste[] {
  const failed = calls.filter((call) => call.span.outcome === "error" && call.mayBeCharged && failedItself(call.span));
  return wasted("failed_call", failed, (amount, of) => {
    return `${amountText(amount)} went to ${counted(of.length, "model call")} without a usable answer: ${errorsOf(of.map(({ span }) => span))}.`;
  });
}

/** Returns whether it was the call that failed, not what was around it. */
function failedItself(span: WhySpan): boolean {
  const row: ErrorDefinition = ERRORS[knownErrorType(textOf(span, "error.type") ?? "")];
  return row.cuts !== true;
}

/** Returns the calls with failed tries that may have been charged. What they cost is known to the provider only. */
export function chargedTries(calls: readonly ModelCall[]): Waste[] {
  const retried = calls.filter((call) => call.chargedTries.length > 0);
  if (retried.length === 0) return [];
  const tries = retried.flatMap((call) => call.chargedTries);
  const isOne = tries.length === 1;
  const sentence = () =>
    `${counted(tries.length, "try").replace(/trys$/, "tries")} of ${counted(retried.length, "model call")} failed during the answer (${errorsOf(tries)}) and ${isOne ? "was" : "were"} repeated; whether the provider charged for ${isOne ? "it" : "them"} is unknown.`;
  return [{ reason: "retry", calls: retried, extra: { usd: null, isKnown: false }, sentence }];
}

function errorsOf(spans: readonly WhySpan[]): string {
  const types = new Set(spans.map((span) => `\`${textOf(span, "error.type") ?? "_OTHER"}\``));
  return listed([...types]);
}

/** Returns one entry, none without calls. */
export function wasted(reason: AvoidableReason, calls: readonly ModelCall[], sentence: Waste["sentence"]): Waste[] {
  return calls.length === 0 ? [] : [{ reason, calls, sentence }];
}
