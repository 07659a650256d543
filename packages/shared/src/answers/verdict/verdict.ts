/** The verdict on a session, as every interface shows it. Pure. */
import { VERDICT_RULES, type VerdictView } from "../../protocol/verdict.ts";
import { explain } from "./explain.ts";
import type { SessionFacts } from "./facts.ts";
import { judge } from "./judge.ts";

/** Returns the verdict at a time, epoch ms. */
export function verdictOf(facts: SessionFacts, nowMs: number): VerdictView {
  const judgement = judge(facts, nowMs);
  const { rule, thresholdMs } = judgement;
  // Clocks of other processes may run ahead.
  const sinceMs = Math.min(judgement.sinceMs, nowMs);
  return {
    state: VERDICT_RULES[rule],
    since: new Date(sinceMs).toISOString(),
    ...explain(judgement, facts, nowMs),
    rule,
    threshold_ms: thresholdMs,
    value_ms: nowMs - sinceMs,
  };
}

/** Returns a verdict that was stored earlier, with what its rule measures by now. */
export function agedVerdict(verdict: VerdictView, nowMs: number): VerdictView {
  return { ...verdict, value_ms: Math.max(0, nowMs - Date.parse(verdict.since)) };
}

/** Returns a text that differs where the attention of a session differs in more than its age; empty without attention. */
export function attentionKey(verdict: VerdictView | undefined): string {
  return verdict === undefined ? "" : [verdict.rule, verdict.since, verdict.command].join(" ");
}
