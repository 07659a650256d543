/** Statistics of turns, from rollups or from the turns themselves. Pure. */
import { knownSum } from "../../protocol/cost.ts";
import type { Distribution, Measure, StatsKey, TurnGroup } from "../../protocol/turn-stats.ts";
import { MEASURES } from "../../protocol/turn-stats.ts";
import type { Outcome } from "../../spans.ts";
import { barsOf, countOf, EMPTY, exactQuantile, type Histogram, histogramOf, merge, quantile } from "./histogram.ts";

/** Some turns with the same keys: a rollup, or one turn. */
export interface TurnFacts {
  /** `null` if it is unknown, or there is none. */
  readonly keys: { readonly [K in StatsKey]: string | null };
  readonly outcome: Outcome;
  readonly turns: number;
  readonly measures: { readonly [M in Measure]: MeasuredTurns };
  /** How many of the known values are lower bounds: some calls of these turns have no known value. */
  readonly partial?: { readonly [M in Measure]?: number };
}

/** The histogram of a rollup, or the value of one turn: `null` if it is unknown. */
export type MeasuredTurns = Histogram | number | null;

/** How many groups an answer has, and how many bars a histogram. */
export const MAX_GROUPS = 200;
const MAX_BARS = 16;
/** The measures that model calls add up to, and of which every turn has an amount, known or not. */
const CAN_LACK: ReadonlySet<Measure> = new Set(["cost_usd", "tokens_input", "tokens_output"]);

class Group {
  readonly keys: TurnGroup["keys"];
  turns = 0;
  readonly #outcomes = new Map<Outcome, number>();
  readonly #histograms = new Map<Measure, Histogram>();
  readonly #values = new Map<Measure, number[]>();
  readonly #partial = new Map<Measure, number>();

  constructor(keys: TurnGroup["keys"]) {
    this.keys = keys;
  }

  add({ turns, outcome, measures, partial = {} }: TurnFacts): void {
    this.turns += turns;
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + turns);
    for (const name of MEASURES) {
      this.#partial.set(name, (this.#partial.get(name) ?? 0) + (partial[name] ?? 0));
      const measured = measures[name];
      if (measured === null) continue;
      if (typeof measured !== "number") {
        this.#histograms.set(name, merge(this.#histograms.get(name) ?? EMPTY, measured));
        continue;
      }
      const values = this.#values.get(name);
      if (values === undefined) this.#values.set(name, [measured]);
      else values.push(measured);
    }
  }

  view(): TurnGroup {
    const measures = MEASURES.map((name) => [name, this.#distribution(name)]);
    return {
      keys: this.keys,
      turns: this.turns,
      outcomes: Object.fromEntries(this.#outcomes),
      measures: Object.fromEntries(measures) as TurnGroup["measures"],
    };
  }

  #distribution(name: Measure): Distribution {
    const values = this.#values.get(name)?.sort((a, b) => a - b);
    const histogram = values === undefined ? (this.#histograms.get(name) ?? EMPTY) : histogramOf(values);
    const at = (share: number) => (values === undefined ? quantile(histogram, share) : exactQuantile(values, share));
    const known = countOf(histogram);
    const partial = this.#partial.get(name) ?? 0;
    const isWhole = partial === 0 && (known === this.turns || !CAN_LACK.has(name));
    return {
      known,
      ...(partial > 0 && { partial }),
      sum: known === 0 ? null : knownSum(histogram.sum, isWhole ? 0 : 1),
      p50: at(0.5),
      p90: at(0.9),
      p99: at(0.99),
      bars: barsOf(histogram, MAX_BARS),
    };
  }
}

export interface Grouped {
  readonly total: TurnGroup;
  readonly groups: TurnGroup[];
  /** How many groups are left out, those with the fewest turns. */
  readonly leftOut: number;
}

/**
 * Groups turns by keys.
 * @param ofTotal what the total is of, where a turn is in several of `facts`
 */
export function groupTurns(facts: Iterable<TurnFacts>, by: readonly StatsKey[], ofTotal = facts): Grouped {
  const total = new Group({});
  const groups = new Map<string, Group>();
  for (const each of ofTotal) total.add(each);
  for (const each of by.length === 0 ? [] : facts) {
    const keys = Object.fromEntries(by.map((key) => [key, each.keys[key]]));
    const id = JSON.stringify(Object.values(keys));
    const group = groups.get(id) ?? new Group(keys);
    groups.set(id, group);
    group.add(each);
  }
  const largest = [...groups.values()].sort((a, b) => b.turns - a.turns).slice(0, MAX_GROUPS);
  const ordered = largest.sort((a, b) => (a.keys.day ?? "").localeCompare(b.keys.day ?? "") || b.turns - a.turns);
  return {
    total: total.view(),
    groups: ordered.map((group) => group.view()),
    leftOut: groups.size - ordered.length,
  };
}
