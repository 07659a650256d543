/** Compares contenders round by round, and prints the comparisons with their resolution and their bounds. Pure. */
import { median, medianInterval } from "./statistics.ts";

/** A value per round for each contender, in the order of the rounds. */
export type Samples = Readonly<Record<string, readonly number[]>>;

/** The result of one measure. */
export interface Measurement {
  readonly name: string;
  readonly unit: "ns" | "µs" | "ms" | "MB/s" | "spans/s" | "bytes" | "rows" | "POSTs" | "requests" | "messages" | "USD";
  readonly samples: Samples;
  /** Two contenders that are equal. What they differ by is the resolution of the comparisons. */
  readonly equal?: readonly [string, string];
}

type Limit = { readonly atMost: number } | { readonly atLeast: number };
/**
 * The limit of a row: of our value alone, of its ratio to the contender's, or of the difference between the two, in the unit of
 * the row. "indistinguishable" holds if the difference is at most the resolution.
 */
export type Bound =
  | ({
      readonly of: "ratio" | "ours" | "difference";
      /** Whether a machine on which the contender misses the same limit, which costs nothing, is too busy to tell. */
      readonly needsTheirs?: boolean;
    } & Limit)
  | { readonly of: "indistinguishable" };

/** "undecided" if the value is nearer to the bound than the resolution, or the contender has to keep it, too, and does not. */
export type Verdict = "ok" | "MISSED" | "undecided";

/** A figure of every round. */
interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Row {
  readonly measure: string;
  readonly unit: Measurement["unit"];
  readonly contender: string;
  readonly samples: { readonly ours: readonly number[]; readonly theirs: readonly number[] };
  /** Medians. `theirs` is NaN where there is no such contender here, which shows as a dash. */
  readonly ours: number;
  readonly theirs: number;
  /** Ours divided by theirs, round by round, since a disturbance affects both. Absent when theirs is 0. */
  readonly ratio?: Spread;
  /** Ours less theirs, round by round. */
  readonly difference: Spread;
  /** What two equal contenders may differ by: their ratio's distance from 1, and their difference's from 0. */
  readonly resolution?: { readonly ratio: number; readonly difference: number };
  readonly bound?: Bound & { readonly verdict: Verdict };
}

export interface Table {
  readonly title: string;
  readonly rows: readonly Row[];
}

/**
 * Returns a row for every contender but ours.
 * @param boundOf the bound of the row with that contender, if there is one
 */
export function compare(
  { name, unit, samples, equal }: Measurement,
  ours: string,
  boundOf: (contender: string) => Bound | undefined,
): Row[] {
  const own = samplesOf(samples, ours, name);
  const resolution = equal && resolutionOf(samplesOf(samples, equal[0], name), samplesOf(samples, equal[1], name));
  return Object.entries(samples).flatMap(([contender, theirs]) => {
    if (contender === ours) return [];
    const bound = boundOf(contender);
    const row: Row = {
      measure: name,
      unit,
      contender,
      samples: { ours: own, theirs },
      ours: median(own),
      theirs: median(theirs),
      ...(theirs.every((value) => value !== 0) && { ratio: spread(ratios(own, theirs)) }),
      difference: spread(differences(own, theirs)),
      ...(resolution && { resolution }),
    };
    return [bound === undefined ? row : { ...row, bound: { ...bound, verdict: judge(bound, row) } }];
  });
}

/** Returns the row of a contender that cannot run here. */
export function withoutTheirs({ name, unit, samples }: Measurement, ours: string, contender: string): Row {
  const own = samplesOf(samples, ours, name);
  const none = { median: Number.NaN, min: Number.NaN, max: Number.NaN };
  return {
    measure: name,
    unit,
    contender,
    samples: { ours: own, theirs: [] },
    ours: median(own),
    theirs: Number.NaN,
    difference: none,
  };
}

function samplesOf(samples: Samples, contender: string, measure: string): readonly number[] {
  const own = samples[contender];
  if (own === undefined || own.length === 0) throw new Error(`${measure}: no samples of ${contender}`);
  return own;
}

/** The farthest that the median of two equal contenders may be from no difference, in 95 of 100 cases. */
function resolutionOf(one: readonly number[], other: readonly number[]): Row["resolution"] {
  const ratio = medianInterval(ratios(one, other));
  const difference = medianInterval(differences(one, other));
  return {
    ratio: Math.max(Math.abs(ratio.low - 1), Math.abs(ratio.high - 1)),
    difference: Math.max(Math.abs(difference.low), Math.abs(difference.high)),
  };
}

function judge(bound: Bound, { ours, theirs, ratio, difference, resolution }: Row): Verdict {
  if (bound.of === "indistinguishable") {
    return Math.abs(difference.median) <= (resolution?.difference ?? 0) ? "ok" : "MISSED";
  }
  const [value, around] = {
    ours: [ours, 0],
    ratio: [ratio?.median ?? Number.NaN, resolution?.ratio ?? 0],
    difference: [difference.median, resolution?.difference ?? 0],
  }[bound.of] as [number, number];
  const roomOf = (one: number) => ("atMost" in bound ? bound.atMost - one : one - bound.atLeast);
  const room = roomOf(value);
  if (room < 0 && bound.needsTheirs === true && roomOf(theirs) < 0) return "undecided";
  if (Math.abs(room) < around) return "undecided";
  return room >= 0 ? "ok" : "MISSED";
}

function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  return ours.map((value, round) => value / (theirs[round] as number));
}

function differences(ours: readonly number[], theirs: readonly number[]): number[] {
  return ours.map((value, round) => value - (theirs[round] as number));
}

function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function isMissed(row: Row): boolean {
  return row.bound?.verdict === "MISSED";
}

/** Formats the table as aligned Markdown, so that a report can include it as printed. */
export function formatTable({ title, rows }: Table): string {
  const withResolution = rows.some(({ resolution }) => resolution !== undefined);
  const header = ["measure", "ours", "against", "theirs", "ratio (min–max)"];
  const cells = [
    [...header, ...(withResolution ? ["resolution"] : []), "bound", ""],
    ...rows.map((row) => [
      row.measure,
      quantity(row.ours, row.unit),
      row.contender,
      quantity(row.theirs, row.unit),
      comparison(row),
      ...(withResolution ? [resolutionText(row)] : []),
      row.bound ? boundText(row.bound, row.unit) : "",
      row.bound?.verdict ?? "",
    ]),
  ];
  const widths = (cells[0] as string[]).map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ")} |`);
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [`### ${title}`, "", lines[0], rule, ...lines.slice(1)].join("\n");
}

/** A row whose bound is a difference shows the difference instead of the ratio. */
function isDifference({ bound }: Row): boolean {
  return bound?.of === "difference" || bound?.of === "indistinguishable";
}

function comparison(row: Row): string {
  const { ratio, difference, unit } = row;
  if (isDifference(row)) {
    const sign = difference.median > 0 ? "+" : "";
    return `${sign}${quantity(difference.median, unit)} (${fixed(difference.min)}–${fixed(difference.max)})`;
  }
  return ratio ? `${fixed(ratio.median)} (${fixed(ratio.min)}–${fixed(ratio.max)})` : "–";
}

function resolutionText(row: Row): string {
  const { resolution, unit } = row;
  if (resolution === undefined) return "";
  return isDifference(row) ? `±${quantity(resolution.difference, unit)}` : `±${fixed(resolution.ratio)}`;
}

function boundText(bound: Bound, unit: Measurement["unit"]): string {
  if (bound.of === "indistinguishable") return "within the resolution";
  const [sign, value] = "atMost" in bound ? ["≤", bound.atMost] : ["≥", bound.atLeast];
  if (bound.of === "ratio") return `${sign} ${Number(value.toFixed(3))}`;
  return `${sign} ${bound.of === "difference" ? "+" : ""}${quantity(value, unit)}`;
}

function quantity(value: number, unit: Measurement["unit"]): string {
  if (Number.isNaN(value)) return "–";
  if (unit === "bytes") return `${Math.abs(value) >= 10 ? Math.round(value).toLocaleString("en") : value.toFixed(1)} B`;
  const size = Math.abs(value);
  return `${size >= 100 ? Math.round(value) : size >= 10 ? value.toFixed(1) : fixed(value)} ${unit}`;
}

function fixed(value: number): string {
  return value.toFixed(2);
}
