/** Tables of turns, as wide as the terminal at most. Pure. */
import { breakdownText } from "@valet/shared/duration-text";
import { costText, lacksCost } from "@valet/shared/protocol/cost";
import { firstCause } from "@valet/shared/protocol/first-cause";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { MAX_EXACT_TURNS } from "@valet/shared/protocol/turn-stats";
import type { FoundTurns } from "./api-client.ts";
import { sizeText } from "./limits-text.ts";

interface Column<T> {
  readonly head: string;
  readonly cell: (row: T) => string;
  readonly isNumber?: boolean;
}

/** Stands for an empty list. */
export const NO_TURNS = "No turns.";
/** Explains a list that an error type leaves empty: spans and messages name the turn's own error, lists its first cause. */
export const FOUND_BY_CAUSE =
  "Turns are listed under the first cause of their failure. A turn that failed with `model_chain_exhausted` is listed under the error of its last model.";

/** The number of spaces between two columns. */
export const GAP = 2;
/** The length up to which a text column is shown on a terminal. */
const MAX_TEXT = 40;

const ALWAYS: readonly Column<TurnRecord>[] = [
  { head: "ended (UTC)", cell: ({ ended_at }) => minuteText(ended_at) },
  { head: "outcome", cell: outcomeOf },
  { head: "took", cell: ({ turn_ms }) => breakdownText(turn_ms), isNumber: true },
  { head: "waited", cell: ({ queue_wait_ms }) => breakdownText(queue_wait_ms), isNumber: true },
  { head: "cost", cell: turnCost, isNumber: true },
];

/** Shown as far as there is room, the first ones first; one that no turn has is left out. */
const IF_ROOM: readonly Column<TurnRecord>[] = [
  { head: "session", cell: ({ session_id }) => session_id },
  { head: "user", cell: ({ user_id }) => user_id ?? "" },
  { head: "repository", cell: whereText },
  { head: "model", cell: ({ model }) => model ?? "" },
  { head: "CPU", cell: ({ cpu_ms }) => (typeof cpu_ms === "number" ? breakdownText(cpu_ms) : ""), isNumber: true },
  { head: "memory", cell: ({ memory_peak_bytes }) => optionalSize(memory_peak_bytes), isNumber: true },
  { head: "written", cell: ({ disk_written_bytes }) => optionalSize(disk_written_bytes), isNumber: true },
  { head: "channel", cell: ({ channel }) => channel },
  { head: "message", cell: ({ message_ids }) => message_ids.join(", ") },
  { head: "parent", cell: ({ parent_session_id }) => parent_session_id ?? "" },
];

const optionalSize = (bytes: number | null) => (typeof bytes === "number" ? sizeText(bytes) : "");

/**
 * Returns the table of a list of turns.
 * @param width the number of columns of the terminal
 * @param isOfSession whether all are turns of one session, which is not repeated then
 */
export function turnLines(turns: readonly TurnRecord[], width: number, isOfSession: boolean): string[] {
  const columns = [...ALWAYS];
  const more = IF_ROOM.filter(({ head }) => !isOfSession || (head !== "session" && head !== "repository"));
  for (const column of more) {
    const isEmpty = turns.every((turn) => column.cell(turn) === "");
    if (!isEmpty && widthOf([...columns, column], turns, width) <= width) columns.push(column);
  }
  return tableLines(columns, turns, width);
}

/**
 * Returns what a sorted list leaves out: turns outside its period, and all but the newest ones of a full period.
 * @param remedy what to do about it, as a clause
 */
export function sortedNotes({ sorted, isPartial }: Pick<FoundTurns, "sorted" | "isPartial">, remedy: string): string[] {
  if (sorted === undefined) return [];
  const period = `Sorted: the turns that ended from ${minuteText(sorted.from)} to ${minuteText(sorted.to)} (UTC).`;
  const most = MAX_EXACT_TURNS.toLocaleString("en-US");
  return [period, ...(isPartial ? [`Only the ${most} newest turns of this period were sorted: ${remedy}.`] : [])];
}

/** Returns a table with a line of heads. Lines are cut at the width; an infinite one cuts nothing. */
export function tableLines<T>(columns: readonly Column<T>[], rows: readonly T[], width: number): string[] {
  const widths = widthsOf(columns, rows, width);
  const line = (cells: readonly string[]) => {
    const padded = cells.map((cell, index) => {
      const room = widths[index] ?? 0;
      return columns[index]?.isNumber ? cell.padStart(room) : cell.padEnd(room);
    });
    return cut(padded.join(" ".repeat(GAP)).trimEnd(), width);
  };
  return [
    line(columns.map(({ head }) => head)),
    ...rows.map((row) => line(columns.map((each) => cellOf(each, row, width)))),
  ];
}

export type { Column };

/** Returns a text in at most so many characters; `…` stands for what is cut. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

/** @param width of the terminal; infinite in a pipe, where nothing is cut */
function cellOf<T>({ cell }: Column<T>, row: T, width: number): string {
  return Number.isFinite(width) ? cut(cell(row), MAX_TEXT) : cell(row);
}

function widthsOf<T>(columns: readonly Column<T>[], rows: readonly T[], width: number): number[] {
  return columns.map((column) => Math.max(column.head.length, ...rows.map((row) => cellOf(column, row, width).length)));
}

function widthOf<T>(columns: readonly Column<T>[], rows: readonly T[], width: number): number {
  return widthsOf(columns, rows, width).reduce((sum, each) => sum + each + GAP, -GAP);
}

/** Returns `11-27 00:12` of an ISO time. */
function minuteText(iso: string): string {
  return iso.slice(5, 16).replace("T", " ");
}

function turnCost(turn: TurnRecord): string {
  const { cost_usd } = turn;
  return cost_usd === null ? "unknown" : costText(cost_usd, lacksCost(turn)).replace("at least ", "≥");
}

/** Returns the repository's name, and its branch. */
function whereText({ repository, branch }: TurnRecord): string {
  const name = repository?.split(/[/:]/).at(-1) ?? "";
  return branch === null || name === "" ? name : `${name}@${branch}`;
}

/** Returns the outcome with the first cause of a failure, which says more than "every model failed". */
function outcomeOf(turn: TurnRecord): string {
  const cause = firstCause(turn);
  return cause === null ? turn.outcome : `${turn.outcome}: ${cause}`;
}
