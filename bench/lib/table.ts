/** A value per round for each contender, in the order of the rounds. */
export type Samples = Readonly<Record<string, readonly number[]>>;

/** The result of one measure. */
export interface Measurement {
  readonly name: string;
  readonly unit: "ns" | "µs" | "ms" | "MB/s" | "spans/s" | "bytes" | "rows" | "POSTs";
  readonly samples: Samples;
}

/** The limit of a row: of the ratio of our value to the contender's, or of our value alone. */
export type Bound = { readonly of: "ratio" | "ours" } & ({ readonly atMost: number } | { readonly atLeast: number });

export interface Row {
  readonly measure: string;
  readonly unit: Measurement["unit"];
  readonly contender: string;
  readonly samples: { readonly ours: readonly number[]; readonly theirs: readonly number[] };
  /** Medians. */
  readonly ours: number;
  readonly theirs: number;
  /** Ours divided by theirs, round by round, since a disturbance affects both. Absent when theirs is 0. */
  readonly ratio?: { readonly median: number; readonly min: number; readonly max: number };
  readonly bound?: Bound & { readonly met: boolean };
}

export interface Table {
  readonly title: string;
  readonly rows: readonly Row[];
}

/** Returns a row for every contender but ours. */
export function compare(
  { name, unit, samples }: Measurement,
  ours: string,
  boundOf: (contender: string) => Bound | undefined,
): Row[] {
  const own = samples[ours];
  if (own === undefined) throw new Error(`${name}: no samples of ${ours}`);
  return Object.entries(samples).flatMap(([contender, theirs]) => {
    if (contender === ours) return [];
    const ratios = own.map((value, round) => value / (theirs[round] as number));
    const ratio = { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
    const bound = boundOf(contender);
    const row: Row = {
      measure: name,
      unit,
      contender,
      samples: { ours: own, theirs },
      ours: median(own),
      theirs: median(theirs),
      ...(theirs.every((value) => value !== 0) && { ratio }),
      ...(bound && { bound: { ...bound, met: isMet(bound, bound.of === "ratio" ? ratio.median : median(own)) } }),
    };
    return [row];
  });
}

function isMet(bound: Bound, value: number): boolean {
  return "atMost" in bound ? value <= bound.atMost : value >= bound.atLeast;
}

export function isMissed(row: Row): boolean {
  return row.bound?.met === false;
}

/** Formats the table as aligned Markdown, so that a report can include it as printed. */
export function formatTable({ title, rows }: Table): string {
  const cells = [
    ["measure", "ours", "against", "theirs", "ratio (min–max)", "bound", ""],
    ...rows.map((row) => [
      row.measure,
      quantity(row.ours, row.unit),
      row.contender,
      quantity(row.theirs, row.unit),
      row.ratio ? `${fixed(row.ratio.median)} (${fixed(row.ratio.min)}–${fixed(row.ratio.max)})` : "–",
      row.bound ? boundText(row.bound, row.unit) : "",
      row.bound ? (row.bound.met ? "ok" : "MISSED") : "",
    ]),
  ];
  const widths = (cells[0] as string[]).map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ")} |`);
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [`### ${title}`, "", lines[0], rule, ...lines.slice(1)].join("\n");
}

function boundText(bound: Bound, unit: Measurement["unit"]): string {
  const [sign, value] = "atMost" in bound ? ["≤", bound.atMost] : ["≥", bound.atLeast];
  return `${sign} ${bound.of === "ratio" ? fixed(value as number) : quantity(value as number, unit)}`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function quantity(value: number, unit: Measurement["unit"]): string {
  if (unit === "bytes") return `${value >= 10 ? Math.round(value).toLocaleString("en") : value.toFixed(1)} B`;
  return `${value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : fixed(value)} ${unit}`;
}

function fixed(value: number): string {
  return value.toFixed(2);
}
