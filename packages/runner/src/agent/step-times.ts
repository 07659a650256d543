/** Collects how long a turn's model calls and tools take, so that unusual silence can be told from usual one. */
import { MAX_TURN_KEYS, MAX_TURN_SAMPLES, type StepDurations } from "@valet/shared/answers/verdict/durations";
import type { BeginFact, EndFact, Fact } from "./facts.ts";

/** The longest name that is reported, in UTF-16 code units; steps with a longer one are not. */
const MAX_NAME = 200;

export class StepTimes {
  readonly #begun = new Map<string, BeginFact>();
  /** Tool calls that waited for a person, whose durations say nothing. */
  readonly #waited = new Set<string>();
  /** Durations by kind and name, newest first. */
  #durations: readonly StepDurations[] = [];

  add(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.type === "begin") {
        this.#begun.set(fact.spanId, fact);
        if (isPersonWait(fact) && fact.parentId !== undefined) this.#waited.add(fact.parentId);
      } else if (fact.type === "end") {
        this.#end(fact);
      }
    }
  }

  /** Returns the durations so far; the newest of each, bounded in number. */
  get durations(): readonly StepDurations[] {
    return this.#durations;
  }

  #end({ spanId, endMs, outcome }: EndFact): void {
    const begun = this.#begun.get(spanId);
    this.#begun.delete(spanId);
    // What was cut short took as long as it was let.
    if (begun === undefined || this.#waited.has(spanId) || (outcome !== "ok" && outcome !== "error")) return;
    const step = stepOf(begun);
    if (step === undefined) return;
    const ms = [Math.max(0, Math.round(endMs - begun.startMs))];
    this.#durations = mergeDurations(this.#durations, [{ ...step, ms }]);
  }
}

/** Returns the durations of two pieces of work, the earlier one first: the newest of each step, of the last steps. */
export function mergeDurations(
  earlier: readonly StepDurations[],
  later: readonly StepDurations[],
): readonly StepDurations[] {
  const merged = later.map(({ kind, name, ms }) => {
    const before = earlier.find((each) => each.kind === kind && each.name === name)?.ms ?? [];
    return { kind, name, ms: [...ms, ...before].slice(0, MAX_TURN_SAMPLES) };
  });
  const others = earlier.filter(({ kind, name }) => !later.some((each) => each.kind === kind && each.name === name));
  return [...merged, ...others].slice(0, MAX_TURN_KEYS);
}

function isPersonWait({ name }: BeginFact): boolean {
  return name === "valet.permission.wait" || name === "valet.question.wait";
}

function stepOf({ name: span, attributes }: BeginFact): Pick<StepDurations, "kind" | "name"> | undefined {
  const kind = span.startsWith("chat ") ? "model" : span.startsWith("execute_tool ") ? "tool" : undefined;
  const name = attributes[kind === "model" ? "gen_ai.request.model" : "gen_ai.tool.name"];
  if (kind === undefined || typeof name !== "string" || name === "" || name.length > MAX_NAME) return undefined;
  return { kind, name };
}
