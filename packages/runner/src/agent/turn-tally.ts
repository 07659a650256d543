/** Computes a turn's figures from the facts of its spans. */
import { knownSum, mayBeCharged } from "@valet/shared/protocol/cost";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { BeginFact, EndFact, Fact } from "./facts.ts";
import { lacking } from "./summary.ts";

type Interval = readonly [startMs: number, endMs: number];

/** Adds up a turn's cost and the durations of its parts, including sub-agents, retries and compactions. */
export class TurnTally {
  readonly #begun = new Map<string, BeginFact>();
  readonly #models: Interval[] = [];
  readonly #tools: Interval[] = [];
  readonly #waits: Interval[] = [];
  /** Tool calls that run a sub-agent. Their time counts as that of the sub-agent's model calls and tools. */
  readonly #delegating = new Set<string>();
  readonly #prepares: Interval[] = [];
  readonly #tokens = {
    input: new KnownSum(),
    output: new KnownSum(),
    cacheRead: new KnownSum(),
    cacheWrite: new KnownSum(),
    reasoning: new KnownSum(),
  };
  readonly #costUsd = new KnownSum();
  readonly #counts = { modelCalls: 0, toolCalls: 0, toolErrors: 0, retries: 0 };
  /** Model calls, by their span, with a failed try that may have cost something. */
  readonly #incomplete = new Set<string>();
  /** Model calls that were ended while the agent waited for the next try, so that no request was open. */
  readonly #givenUp = new Set<string>();
  /** Model calls with tries. Their model time is that of the tries, without the agent's waits between them. */
  readonly #tried = new Set<string>();
  #chatsBegun = 0;
  readonly #lacks = { callsWithoutUsage: 0, callsWithoutCost: 0, callsWithOddUsage: 0 };
  /** The start of the first call that answered, and its time to the first token. */
  #firstToken: { readonly startMs: number; readonly waitMs: number } | undefined;

  /** The number of requests to models, counting each try of a call. */
  requestsBegun = 0;
  /** Whether the agent will call the model again, since its last answer did not end the work. */
  isAnotherCallDue = false;

  add(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.type === "begin") {
        this.#begun.set(fact.spanId, fact);
        if (fact.name.startsWith("chat ")) {
          this.#chatsBegun++;
          this.requestsBegun++;
          this.isAnotherCallDue = false;
        }
        // The first try was counted with its call.
        if (isRetry(fact)) {
          this.requestsBegun++;
          this.#counts.retries++;
        }
        // A tool call counts from its start, as a model call does: if the runner is lost, its end is never reported.
        if (fact.name.startsWith("execute_tool ")) this.#counts.toolCalls++;
        if (fact.name.startsWith("invoke_agent ") && fact.parentId !== undefined) this.#delegating.add(fact.parentId);
        continue;
      }
      if (fact.type === "heard") continue;
      const begun = this.#begun.get(fact.spanId);
      if (begun === undefined) continue;
      this.#begun.delete(fact.spanId);
      const interval = [begun.startMs, fact.endMs] as const;
      if (begun.name.startsWith("chat ")) {
        if (!this.#tried.has(fact.spanId)) this.#models.push(interval);
        this.#counts.modelCalls++;
        this.#addUsage(fact);
        const reasons = fact.attributes["gen_ai.response.finish_reasons"];
        this.isAnotherCallDue = Array.isArray(reasons) && !reasons.some((reason) => FINAL.has(reason));
        const firstChunkS = fact.attributes["gen_ai.response.time_to_first_chunk"];
        if (
          typeof firstChunkS === "number" &&
          begun.startMs < (this.#firstToken?.startMs ?? Number.POSITIVE_INFINITY)
        ) {
          this.#firstToken = { startMs: begun.startMs, waitMs: Math.round(firstChunkS * 1000) };
        }
      } else if (begun.name === "valet.llm.try") {
        this.#models.push(interval);
        if (begun.parentId !== undefined) this.#tried.add(begun.parentId);
        if (fact.outcome !== "ok" && isCharged(fact) && begun.parentId !== undefined) {
          this.#incomplete.add(begun.parentId);
        }
      } else if (begun.name === "valet.retry.wait") {
        if (fact.outcome !== "ok" && begun.parentId !== undefined) this.#givenUp.add(begun.parentId);
      } else if (begun.name.startsWith("execute_tool ")) {
        if (fact.outcome === "error") this.#counts.toolErrors++;
        if (!this.#delegating.has(fact.spanId)) this.#tools.push(interval);
      } else if (begun.name === "valet.agent.prepare") {
        this.#prepares.push(interval);
      } else if (begun.name === "valet.permission.wait" || begun.name === "valet.question.wait") {
        this.#waits.push(interval);
      }
    }
  }

  /**
   * Returns the figures. Each duration is the time in which at least one call, tool or wait was open, so parallel ones count
   * once. Tool time excludes the waits for a person.
   * @param model the model that gave the answer, as `provider/model`
   */
  summary(startMs: number, endMs: number, model: string | undefined): TurnSummary {
    const waits = lengthOf(this.#waits);
    // Calls that are still open, whose usage is not known yet.
    const open = this.#chatsBegun - this.#counts.modelCalls;
    const lacks = { callsWithoutUsage: open, callsWithoutCost: open };
    const known = (sum: KnownSum) => sum.value(open);
    return {
      turnMs: Math.max(0, endMs - startMs),
      ...withoutUndefined({ timeToFirstTokenMs: this.#firstToken?.waitMs, model }),
      prepareMs: Math.round(lengthOf(this.#prepares)),
      modelMs: lengthOf(this.#models),
      toolMs: lengthOf([...this.#tools, ...this.#waits]) - waits,
      permissionWaitMs: waits,
      ...this.#counts,
      modelCalls: this.#chatsBegun,
      tokens: {
        input: known(this.#tokens.input),
        output: known(this.#tokens.output),
        cacheRead: known(this.#tokens.cacheRead),
        cacheWrite: known(this.#tokens.cacheWrite),
        reasoning: known(this.#tokens.reasoning),
      },
      costUsd: known(this.#costUsd),
      ...lacking("callsWithoutUsage", this.#lacks, lacks),
      ...lacking("callsWithoutCost", this.#lacks, lacks),
      ...lacking("callsWithOddUsage", this.#lacks),
    };
  }

  #addUsage(fact: EndFact): void {
    const { attributes, spanId } = fact;
    const read = (key: string) => {
      const value = attributes[key];
      return typeof value === "number" ? value : undefined;
    };
    const input = read("gen_ai.usage.input_tokens");
    const output = read("gen_ai.usage.output_tokens");
    const isIncomplete = this.#incomplete.has(spanId);
    // Whatever ended a call between two tries: only those may have cost something.
    if (!isIncomplete && (this.#givenUp.has(spanId) || !isCharged(fact))) return;
    const costUsd = read("valet.llm.cost_usd");
    this.#tokens.input.add(input);
    this.#tokens.output.add(output);
    this.#tokens.cacheRead.add(read("gen_ai.usage.cache_read.input_tokens"));
    this.#tokens.cacheWrite.add(read("gen_ai.usage.cache_creation.input_tokens"));
    this.#tokens.reasoning.add(read("gen_ai.usage.reasoning.output_tokens"));
    this.#costUsd.add(costUsd);
    if (isIncomplete) for (const sum of [...Object.values(this.#tokens), this.#costUsd]) sum.add(undefined);
    const lacksUsage = input === undefined || output === undefined || isIncomplete;
    if (lacksUsage) this.#lacks.callsWithoutUsage++;
    // The cost is only that of the known tokens, and of those with a price.
    const isPartial = attributes["valet.llm.cost_partial"] === true;
    if (lacksUsage || costUsd === undefined || isPartial) this.#lacks.callsWithoutCost++;
    if (attributes["valet.llm.usage_inconsistent"] === true) this.#lacks.callsWithOddUsage++;
  }
}

/** The sum of the known values; `null` if it is 0 and a value is unknown. */
class KnownSum {
  #total = 0;
  #unknown = 0;

  add(value: number | undefined): void {
    if (value === undefined) this.#unknown++;
    else this.#total += value;
  }

  /** @param unknown the number of further unknown values */
  value(unknown: number): number | null {
    return knownSum(this.#total, this.#unknown + unknown);
  }
}

/** Returns whether it is a second or later try of a call. */
function isRetry({ name, attributes }: BeginFact): boolean {
  return name === "valet.llm.try" && Number(attributes["valet.llm.attempt"]) > 1;
}

/** Returns whether a call, or a try of one, may have cost something. */
function isCharged({ outcome, errorType, attributes }: EndFact): boolean {
  const hasBegun = attributes["gen_ai.response.time_to_first_chunk"] !== undefined;
  return mayBeCharged(outcome, errorType, hasBegun);
}

/** Finish reasons after which the agent does not make another model call. */
const FINAL: ReadonlySet<string> = new Set(["stop", "length", "content_filter", "error"]);

/** Returns the time that the intervals cover together. */
function lengthOf(intervals: readonly Interval[]): number {
  let total = 0;
  let coveredTo = Number.NEGATIVE_INFINITY;
  for (const [start, end] of intervals.toSorted(([a], [b]) => a - b)) {
    total += Math.max(0, end - Math.max(start, coveredTo));
    coveredTo = Math.max(coveredTo, end);
  }
  return total;
}
