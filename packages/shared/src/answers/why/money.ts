/** What a job's model calls cost, by model and agent, and what of it was avoidable. Pure. */
import { costText, knownSum } from "../../protocol/cost.ts";
import type { Avoidable, ModelMoney, Money, SessionMoney } from "../../protocol/why.ts";
import { avoidable } from "./avoidable.ts";
import { type ModelCall, modelCalls } from "./model-calls.ts";
import { moneyText } from "./other-sessions.ts";
import { beyondSpans } from "./recorded-money.ts";
import { ownSpans, SpanIndex } from "./span-index.ts";
import type { WhyInput } from "./spans.ts";
import { capitalized, counted, listed } from "./text.ts";

/**
 * Returns what the job has cost so far: its own calls and those of its sub-agents. A child session is a session of its own, and so are
 * its costs. What no span tells, as without tracing, the records of its attempts do.
 * @param children what child sessions cost besides
 */
export function moneyOf(
  input: WhyInput,
  index: SpanIndex = new SpanIndex(input.spans),
  children: readonly SessionMoney[] = [],
): Money {
  const own = ownSpans(index, input.job);
  const isOwn = new Set(own);
  const all = modelCalls(index);
  const calls = all.filter(({ span }) => isOwn.has(span));
  const { rows, isWhole } = beyondSpans(input, index, calls);
  const by = [...byModel(calls), ...rows].toSorted(dearerFirst);
  const known = isWhole && by.every((row) => row.known);
  const cost_usd = knownSum(
    by.reduce((sum, row) => sum + (row.cost_usd ?? 0), 0),
    known ? 0 : 1,
  );
  const saved = withinCost(avoidable(index, own, calls, all), cost_usd).toSorted(dearerFirst);
  const sentence = `${sentenceOf(cost_usd, known, by, saved)}${moneyText(children)}`;
  return { cost_usd, known, by, avoidable: saved, children: [...children], sentence };
}

/** Sums of one model and agent. */
class Row {
  readonly #first: ModelCall;
  readonly #tokens = {
    input: new KnownSum(),
    output: new KnownSum(),
    cacheRead: new KnownSum(),
    cacheWrite: new KnownSum(),
  };
  readonly #cost = new KnownSum();
  #calls = 0;

  constructor(first: ModelCall) {
    this.#first = first;
  }

  add({ tokens, costUsd, isCostKnown, mayBeCharged, chargedTries }: ModelCall): void {
    this.#calls++;
    // A call that reached no model cost nothing.
    if (!mayBeCharged) return;
    for (const key of ["input", "output", "cacheRead", "cacheWrite"] as const) {
      this.#tokens[key].add(tokens[key], tokens[key] !== null && chargedTries.length === 0);
    }
    this.#cost.add(costUsd, isCostKnown);
  }

  get money(): ModelMoney {
    const { model, provider, agent, isSubAgent } = this.#first;
    return {
      model,
      provider,
      agent,
      sub_agent: isSubAgent,
      cost_usd: this.#cost.value,
      known: this.#cost.isKnown,
      calls: this.#calls,
      tokens_input: this.#tokens.input.value,
      tokens_output: this.#tokens.output.value,
      tokens_cache_read: this.#tokens.cacheRead.value,
      tokens_cache_write: this.#tokens.cacheWrite.value,
    };
  }
}

class KnownSum {
  #sum = 0;
  #missing = 0;

  add(value: number | null, isWhole: boolean): void {
    this.#sum += value ?? 0;
    if (!isWhole) this.#missing++;
  }

  get isKnown(): boolean {
    return this.#missing === 0;
  }

  get value(): number | null {
    return knownSum(this.#sum, this.#missing);
  }
}

function byModel(calls: readonly ModelCall[]): ModelMoney[] {
  const rows = new Map<string, Row>();
  for (const call of calls) {
    const { model, provider, agent, isSubAgent } = call;
    const key = JSON.stringify([model, provider, agent, isSubAgent]);
    const row = rows.get(key) ?? new Row(call);
    rows.set(key, row);
    row.add(call);
  }
  return [...rows.values()].map((row) => row.money);
}

/** Limits what was avoidable to the cost, however the sums were rounded. */
function withinCost(entries: readonly Avoidable[], costUsd: number | null): Avoidable[] {
  let left = costUsd ?? 0;
  return entries.map((entry) => {
    if (entry.cost_usd === null) return entry;
    const cost_usd = Math.min(entry.cost_usd, left);
    left -= cost_usd;
    return { ...entry, cost_usd };
  });
}

/** Orders by cost, the highest first, unknown ones last. */
function dearerFirst(a: { readonly cost_usd: number | null }, b: { readonly cost_usd: number | null }): number {
  return (b.cost_usd ?? -1) - (a.cost_usd ?? -1);
}

/** How many models and agents the sentence names. */
const NAMED = 3;

function sentenceOf(
  costUsd: number | null,
  known: boolean,
  by: readonly ModelMoney[],
  entries: readonly Avoidable[],
): string {
  const calls = by.reduce((sum, row) => sum + row.calls, 0);
  if (by.length === 0) return known ? "No model was called." : "The cost is unknown.";
  const inCalls = calls === 0 ? "" : ` in ${counted(calls, "model call")}`;
  const rest = avoidableText(entries);
  if (costUsd === null) {
    return `The cost${calls === 0 ? "" : ` of ${counted(calls, "model call")}`} is unknown${unpriced(by)}.${rest}`;
  }
  const named = by.slice(0, NAMED).map((row) => `${whoOf(row)} ${costText(row.cost_usd, !row.known)}`);
  if (by.length > NAMED) named.push(`${by.length - NAMED} more`);
  const who = by.length === 1 ? ` by ${whoOf(by[0] as ModelMoney)}` : `: ${listed(named)}`;
  return `${capitalized(costText(costUsd, !known))}${inCalls}${who}.${rest}`;
}

/** Returns how much was avoidable; each entry says why in a sentence of its own. */
function avoidableText(entries: readonly Avoidable[]): string {
  if (entries.length === 0) return "";
  const costs = entries.flatMap(({ cost_usd }) => cost_usd ?? []);
  if (costs.length === 0) return " Some of it was avoidable; how much is unknown.";
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const isPartial = entries.some(({ known }) => !known);
  return ` ${capitalized(costText(total, isPartial))} of it was avoidable.`;
}

function unpriced(by: readonly ModelMoney[]): string {
  const models = [
    ...new Set(by.flatMap((row) => (row.known || row.tokens_input === null ? [] : [`\`${row.model}\``]))),
  ];
  return models.length === 0 ? "" : `: no price is known for ${listed(models)}`;
}

function whoOf({ model, agent, sub_agent }: ModelMoney): string {
  const who = model === null ? "an unknown model" : `\`${model}\``;
  if (agent === null) return who;
  return `${who} for ${sub_agent ? "the sub-agent" : "the agent"} \`${agent}\``;
}
