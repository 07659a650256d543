/**
 * Decides what a stream can show: whether it is a terminal, its width, and whether it gets colours. The only place that does. Pure.
 *
 * | variable | effect |
 * | --- | --- |
 * | `NO_COLOR` (not empty) | no colours (no-color.org); it counts more than `FORCE_COLOR` |
 * | `FORCE_COLOR` (not empty, `0` or `false`) | colours in a pipe, too; `0` and `false` stand for none (force-color.org) |
 * | `TERM=dumb` | no colours, and nothing is redrawn |
 * | `COLUMNS` | the width of the terminal; a pipe has none |
 */

export interface Terminal {
  /** `undefined` if the stream is not a terminal: then nothing is wrapped or cut. */
  readonly columns: number | undefined;
  readonly rows: number;
  readonly hasColour: boolean;
  /** Whether what was written can be redrawn. */
  readonly canRedraw: boolean;
}

export type Stream = Pick<NodeJS.WriteStream, "isTTY" | "columns" | "rows">;
type Environment = Readonly<Record<string, string | undefined>>;

/** The size of a terminal that does not tell. */
const COLUMNS = 80;
const ROWS = 24;
/** The narrowest width for which anything is laid out. */
const MIN_COLUMNS = 20;

export function terminalOf({ isTTY, columns, rows }: Partial<Stream>, env: Environment): Terminal {
  const isTerminal = isTTY === true;
  const isDumb = env.TERM === "dumb";
  return {
    columns: isTerminal ? Math.max(MIN_COLUMNS, positive(env.COLUMNS) ?? positive(columns) ?? COLUMNS) : undefined,
    rows: positive(rows) ?? ROWS,
    hasColour: wantsColour(env) ?? (isTerminal && !isDumb),
    canRedraw: isTerminal && !isDumb,
  };
}

/** Returns what the variables say; `undefined` if they say nothing. */
function wantsColour({ NO_COLOR: no, FORCE_COLOR: force }: Environment): boolean | undefined {
  if (no !== undefined && no !== "") return false;
  if (force === undefined || force === "") return undefined;
  return force !== "0" && force !== "false";
}

function positive(value: string | number | undefined): number | undefined {
  const number = Number(value);
  return Number.isInteger(number) && number > 0 ? number : undefined;
}
