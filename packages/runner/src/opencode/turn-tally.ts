/** One turn's figures, from the facts of its spans. */
import type { TurnSummary } from "@valet/shared/protocol/runner-link";
import type { BeginFact, Fact } from "./facts.ts";

type Interval = readonly [startMs: number, endMs: number];

/** Adds up what a turn cost and how long its parts took. Sub-agents, retries and compactions count too. */
export class TurnTally {
  readonly #begun = new Map<string, BeginFact>();
  readonly #models: Interval[] = [];
  readonly #tools: Interval[] = [];
  readonly #waits: Interval[] = [];
  /** Tool calls that a sub-agent works for: their time is its model calls' and tools'. */
  readonly #delegating = new Set<string>();
  readonly #tokens = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0 };
  #counts = { modelCalls: 0, toolCalls: 0, toolErrors: 0, retries: 0 };
  #costUsd = 0;
  #firstTokenMs: number | undefined;

  add(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.type === "begin") {
        this.#begun.set(fact.spanId, fact);
        if (fact.name.startsWith("invoke_agent ") && fact.parentId !== undefined) this.#delegating.add(fact.parentId);
        continue;
      }
      if (fact.type === "heard") continue;
      const begun = this.#begun.get(fact.spanId);
      if (begun === undefined) continue;
      this.#begun.delete(fact.spanId);
      const interval = [begun.startMs, fact.endMs] as const;
      if (begun.name.startsWith("chat ")) {
        this.#models.push(interval);
        this.#counts.modelCalls++;
        if (Number(begun.attributes["valet.llm.attempt"]) > 1) this.#counts.retries++;
        this.#addUsage(fact.attributes);
        const firstChunkS = fact.attributes["gen_ai.response.time_to_first_chunk"];
        if (typeof firstChunkS === "number") {
          const atMs = begun.startMs + firstChunkS * 1000;
          this.#firstTokenMs = Math.min(this.#firstTokenMs ?? atMs, atMs);
        }
      } else if (begun.name.startsWith("execute_tool ")) {
        this.#counts.toolCalls++;
        if (fact.outcome === "error") this.#counts.toolErrors++;
        if (!this.#delegating.has(fact.spanId)) this.#tools.push(interval);
      } else if (begun.name === "valet.permission.wait" || begun.name === "valet.question.wait") {
        this.#waits.push(interval);
      }
    }
  }

  /**
   * Times are the clock time in which at least one call, tool or wait was open: what runs side by side counts once. Tool
   * time is without the waits for a person in it.
   * @param model the model that gave the answer, as `provider/model`
   */
  summary(startMs: number, endMs: number, model: string | undefined): TurnSummary {
    const waits = lengthOf(this.#waits);
    return {
      turnMs: Math.max(0, endMs - startMs),
      ...(this.#firstTokenMs === undefined ? {} : { timeToFirstTokenMs: Math.max(0, this.#firstTokenMs - startMs) }),
      modelMs: lengthOf(this.#models),
      toolMs: lengthOf([...this.#tools, ...this.#waits]) - waits,
      permissionWaitMs: waits,
      ...this.#counts,
      tokens: { ...this.#tokens },
      costUsd: this.#costUsd,
      ...(model === undefined ? {} : { model }),
    };
  }

  #addUsage(attributes: BeginFact["attributes"]): void {
    const count = (key: string) => {
      const value = attributes[key];
      return typeof value === "number" && value > 0 ? value : 0;
    };
    this.#tokens.input += count("gen_ai.usage.input_tokens");
    this.#tokens.output += count("gen_ai.usage.output_tokens");
    this.#tokens.cacheRead += count("gen_ai.usage.cache_read.input_tokens");
    this.#tokens.cacheWrite += count("gen_ai.usage.cache_creation.input_tokens");
    this.#tokens.reasoning += count("gen_ai.usage.reasoning.output_tokens");
    this.#costUsd += count("valet.llm.cost_usd");
  }
}

/** How much time the intervals cover together. */
function lengthOf(intervals: readonly Interval[]): number {
  let total = 0;
  let coveredTo = Number.NEGATIVE_INFINITY;
  for (const [start, end] of intervals.toSorted(([a], [b]) => a - b)) {
    total += Math.max(0, end - Math.max(start, coveredTo));
    coveredTo = Math.max(coveredTo, end);
  }
  return total;
}
