/** Statistics of turns as plain text: tables and bars, as wide as the terminal at most. Pure. */
import { counted } from "@valet/shared/answers/why/text";
import { breakdownText } from "@valet/shared/duration-text";
import { costText, isLowerBound } from "@valet/shared/protocol/cost";
import type { Distribution, Measure, TurnGroup, TurnStats } from "@valet/shared/protocol/turn-stats";
import { type Column, cut, GAP, tableLines } from "./turns-table.ts";

interface ShownMeasure {
  readonly name: Measure;
  readonly title: string;
  readonly text: (value: number) => string;
}

/** Returns an amount with two significant digits at least, since the bounds of bars are close to each other. */
function dollars(usd: number): string {
  if (usd === 0) return "$0";
  return `$${usd.toFixed(Math.min(100, Math.max(2, 1 - Math.floor(Math.log10(usd)))))}`;
}

const MEASURES: readonly ShownMeasure[] = [
  { name: "turn_ms", title: "duration", text: breakdownText },
  { name: "queue_wait_ms", title: "wait", text: breakdownText },
  { name: "time_to_first_token_ms", title: "first token", text: breakdownText },
  { name: "cost_usd", title: "cost", text: dollars },
  { name: "tokens_input", title: "tokens in", text: thousands },
  { name: "tokens_output", title: "tokens out", text: thousands },
];
/** The measures whose histograms are drawn in full. */
const DRAWN = MEASURES.filter(({ name }) => name === "turn_ms" || name === "queue_wait_ms" || name === "cost_usd");

const LEVELS = "▁▂▃▄▅▆▇█";
/** The length up to which the keys of a group are shown on a terminal. */
const MAX_KEY = 40;

/** The width of plots where there is none, as in a pipe. */
const PLOT_WIDTH = 80;

/** Returns the lines of the statistics. @param width the number of columns of the terminal; infinite in a pipe, where nothing is cut */
export function statsLines(stats: TurnStats, width: number): string[] {
  const { total, by } = stats;
  const head = headLines(stats);
  if (total.turns === 0) return head.map((line) => cut(line, width));
  const body =
    by.length === 0 ? totalLines(total, width) : [...groupLines(stats, width), "", ...sumLines(total, width)];
  return [...head, "", ...body].map((line) => cut(line, width));
}

function headLines({ total, from, to, source, error_bound, incomplete, groups_left_out }: TurnStats): string[] {
  const period = `${minute(from)} to ${minute(to)} UTC`;
  if (total.turns === 0) return [`No turns from ${period}.`];
  const outcomes = Object.entries(total.outcomes).map(([outcome, turns]) => `${turns} ${outcome}`);
  const bound = `within ${(error_bound * 100).toFixed(1)} %`;
  return [
    `${counted(total.turns, "turn")} from ${period}`,
    `${outcomes.join(", ")}; ${costOf(total)} in total`,
    source === "turns" ? "percentiles: exact" : `percentiles: from hourly histograms, ${bound}`,
    ...(incomplete
      ? ["incomplete: turns from before an upgrade are still being added, which takes minutes to hours"]
      : []),
    ...(groups_left_out === undefined ? [] : [`${counted(groups_left_out, "group")} with few turns not shown`]),
  ];
}

function costOf({ turns, measures: { cost_usd } }: TurnGroup): string {
  return costText(cost_usd.sum, isLowerBound(cost_usd, turns));
}

/** The percentiles of each measure with a small histogram, then the histograms of some in full. */
function totalLines(total: TurnGroup, width: number): string[] {
  const plots = DRAWN.filter(({ name }) => total.measures[name].known > 0).flatMap((measure) => [
    "",
    measure.title,
    ...histogramLines(total.measures[measure.name], measure.text, Number.isFinite(width) ? width : PLOT_WIDTH),
  ]);
  return [...sumLines(total, width), ...plots];
}

function sumLines(total: TurnGroup, width: number): string[] {
  const of = ({ name }: ShownMeasure) => total.measures[name];
  const at = (share: "p50" | "p90" | "p99"): Column<ShownMeasure> => ({
    head: share,
    cell: (row) => valueText(of(row)[share], row),
    isNumber: true,
  });
  const columns: Column<ShownMeasure>[] = [
    { head: "", cell: ({ title }) => title },
    { head: "turns", cell: (row) => knownText(of(row)), isNumber: true },
    at("p50"),
    at("p90"),
    at("p99"),
    { head: "", cell: (row) => sparkline(of(row)) },
  ];
  return tableLines(columns, MEASURES, width);
}

/** Returns how many turns have a value, and for how many of them that is a lower bound. */
function knownText({ known, partial = 0 }: Distribution): string {
  return partial === 0 ? String(known) : `${known} (${partial} partial)`;
}

function valueText(value: number | null, { text }: ShownMeasure): string {
  return value === null ? "unknown" : text(value);
}

/** Returns one line of bars that are up to eight levels high. */
export function sparkline({ bars }: Distribution): string {
  const most = Math.max(...bars.map(({ turns }) => turns), 1);
  const level = (turns: number) => (turns === 0 ? " " : LEVELS[Math.ceil((turns / most) * LEVELS.length) - 1]);
  return bars.map(({ turns }) => level(turns)).join("");
}

/** Returns a line for each bar of a histogram: its upper bound, the bar, and the number of turns. */
function histogramLines({ bars }: Distribution, text: (value: number) => string, width: number): string[] {
  const labels = bars.map(({ to }) => (to === 0 ? text(0) : `≤ ${text(to)}`));
  const room = Math.max(...labels.map((label) => label.length));
  const most = Math.max(...bars.map(({ turns }) => turns));
  const available = width - room - 4 - String(most).length;
  return bars.map(({ turns }, index) => {
    const drawn = bar(turns, most, available);
    return `  ${(labels[index] ?? "").padStart(room)} ${drawn}${drawn === "" ? "" : " "}${turns}`;
  });
}

/** Returns a bar; a number above 0 has at least one character. */
function bar(value: number, most: number, width: number): string {
  if (value === 0) return "";
  return "█".repeat(Math.max(1, Math.round((value / Math.max(most, 1)) * Math.max(1, width))));
}

/**
 * A line for each group: its keys, its turns with a bar, its failures, percentiles of the duration, and its cost. Where the terminal is
 * too narrow for all of it, the bar gives way first, then the keys.
 */
function groupLines(stats: TurnStats, width: number): string[] {
  const { groups } = stats;
  const most = Math.max(...groups.map(({ turns }) => turns));
  const wide = Number.isFinite(width) ? MAX_KEY : Number.POSITIVE_INFINITY;
  const figures = Math.max(...tableLines(figureColumns(), groups, width).map(({ length }) => length)) + GAP;
  const keys = Math.max(...tableLines([keyColumn(stats, wide)], groups, width).map(({ length }) => length));
  const room = Math.min(MAX_BAR, width - keys - figures - GAP);
  const bars: Column<TurnGroup> = { head: "", cell: ({ turns }) => bar(turns, most, room) };
  const key = keyColumn(stats, Math.min(wide, Math.max(MIN_KEY, width - figures)));
  return tableLines([key, ...figureColumns(...(room < 1 ? [] : [bars]))], groups, width);
}

/** @param room how long the keys of a group may be together */
function keyColumn({ by }: Pick<TurnStats, "by">, room: number): Column<TurnGroup> {
  const each = Math.max(1, Math.floor((room - SEPARATOR.length * (by.length - 1)) / by.length));
  return {
    head: cut(by.join(SEPARATOR), room),
    cell: ({ keys }) => by.map((key) => cut(keys[key] ?? "(none)", each)).join(SEPARATOR),
  };
}

/** @param bars what comes beside the number of turns */
function figureColumns(...bars: Column<TurnGroup>[]): Column<TurnGroup>[] {
  return [
    { head: "turns", cell: ({ turns }) => String(turns), isNumber: true },
    ...bars,
    { head: "failed", cell: ({ outcomes }) => String((outcomes.error ?? 0) + (outcomes.lost ?? 0)), isNumber: true },
    { head: "p50", cell: ({ measures }) => valueText(measures.turn_ms.p50, DURATION), isNumber: true },
    { head: "p90", cell: ({ measures }) => valueText(measures.turn_ms.p90, DURATION), isNumber: true },
    { head: "p99", cell: ({ measures }) => valueText(measures.turn_ms.p99, DURATION), isNumber: true },
    { head: "cost", cell: (group) => costOf(group).replace("at least ", "≥").replace("cost ", ""), isNumber: true },
  ];
}

const DURATION = MEASURES[0] as ShownMeasure;
/** The length of the longest bar of a group. */
const MAX_BAR = 30;
/** The length to which the keys of a group are shortened at most. */
const MIN_KEY = 10;
const SEPARATOR = " / ";

/** Returns a whole number with commas. */
function thousands(value: number): string {
  return counted(value, "").replace(/ s?$/, "");
}

/** Returns `2026-11-27 00:12` of an ISO time. */
function minute(iso: string): string {
  return iso.slice(0, 16).replace("T", " ");
}
