/** Reads the hourly rollups of turns, which triggers of the table `turns` write (migrations 0011, 0017 and 0021). */
import { parseHistogram } from "@valet/shared/answers/turn-stats/histogram";
import type { TurnFacts } from "@valet/shared/answers/turn-stats/turn-stats";
import { MEASURES, type Measure } from "@valet/shared/protocol/turn-stats";
import type { Outcome } from "@valet/shared/spans";
import type { Period, TurnFilter } from "./turn-lists.ts";

interface RollupRow extends Record<Measure, string> {
  readonly hour: string;
  /** Only in rollups by tool. */
  readonly tool?: string;
  readonly user_id: string;
  readonly repository: string;
  readonly branch: string;
  readonly channel: string;
  readonly model: string;
  readonly outcome: Outcome;
  readonly error_type: string;
  readonly turns: number;
  readonly partial_cost: number;
  readonly partial_input: number;
  readonly partial_output: number;
}

/** How many rollups one statement reads, and all statements of a request. */
const PAGE = 5000;
export const MAX_ROLLUPS = 50_000;

/**
 * Returns the rollups of a period that pass the filters; `undefined` if there are more than {@link MAX_ROLLUPS} to look at.
 * @param filter without `tool`
 * @param period whole hours
 */
export function readRollups(
  db: D1Database,
  ownerId: string,
  filter: TurnFilter,
  { from, to }: Period,
): Promise<readonly TurnFacts[] | undefined> {
  const statement = db.prepare(
    `SELECT * FROM turn_rollups
     WHERE owner_id = ? AND (hour, user_id, repository, branch, channel, model, outcome, error_type) > (?, ?, ?, ?, ?, ?, ?, ?)
       AND hour < ?
     ORDER BY hour, user_id, repository, branch, channel, model, outcome, error_type LIMIT ${PAGE}`,
  );
  const first = [from.slice(0, 13), "", "", "", "", "", "", ""];
  return readPages(statement, ownerId, filter, first, to, (row) => [row.hour, ...keysOf(row)]);
}

/** Returns the same by tool: a turn is in the rollup of each tool that it used. */
export function readToolRollups(
  db: D1Database,
  ownerId: string,
  filter: TurnFilter,
  { from, to }: Period,
): Promise<readonly TurnFacts[] | undefined> {
  const statement = db.prepare(
    `SELECT * FROM tool_rollups
     WHERE owner_id = ? AND (hour, tool, user_id, repository, branch, channel, model, outcome, error_type) > (?, ?, ?, ?, ?, ?, ?, ?, ?)
       AND hour < ?
     ORDER BY hour, tool, user_id, repository, branch, channel, model, outcome, error_type LIMIT ${PAGE}`,
  );
  const first = [from.slice(0, 13), "", "", "", "", "", "", "", ""];
  return readPages(statement, ownerId, filter, first, to, (row) => [row.hour, row.tool ?? "", ...keysOf(row)]);
}

function keysOf({ user_id, repository, branch, channel, model, outcome, error_type }: RollupRow): string[] {
  return [user_id, repository, branch, channel, model, outcome, error_type];
}

/**
 * @param first what comes before the first row: the columns by which they are sorted
 * @param to the end of the period
 * @param placeOf returns these columns of a row
 */
async function readPages(
  statement: D1PreparedStatement,
  ownerId: string,
  filter: TurnFilter,
  first: readonly string[],
  to: string,
  placeOf: (row: RollupRow) => readonly string[],
): Promise<readonly TurnFacts[] | undefined> {
  const facts: TurnFacts[] = [];
  let after: readonly string[] = first;
  for (let read = 0; read < MAX_ROLLUPS; read += PAGE) {
    const { results } = await statement
      .bind(ownerId, ...after, to.slice(0, 13))
      .all<RollupRow & Record<string, unknown>>();
    for (const row of results) if (passes(row, filter)) facts.push(factsOf(row));
    const last = results.at(-1);
    if (last === undefined || results.length < PAGE) return facts;
    after = placeOf(last);
  }
  return undefined;
}

function passes(row: RollupRow, filter: TurnFilter): boolean {
  const { user, repository, branch, model, outcome, error, channel, tool } = filter;
  const wanted = [user, repository, branch, model, outcome, error, channel, tool];
  const values = [
    row.user_id,
    row.repository,
    row.branch,
    row.model,
    row.outcome,
    row.error_type,
    row.channel,
    row.tool,
  ];
  return wanted.every((each, index) => each === undefined || each === values[index]);
}

function factsOf(row: RollupRow): TurnFacts {
  const known = (text: string) => (text === "" ? null : text);
  return {
    keys: {
      user: known(row.user_id),
      repository: known(row.repository),
      branch: known(row.branch),
      channel: row.channel,
      model: known(row.model),
      outcome: row.outcome,
      error: known(row.error_type),
      // Rollups do not tell sessions apart.
      session: null,
      parent: null,
      tool: row.tool ?? null,
      day: row.hour.slice(0, 10),
    },
    outcome: row.outcome,
    turns: row.turns,
    partial: { cost_usd: row.partial_cost, tokens_input: row.partial_input, tokens_output: row.partial_output },
    measures: Object.fromEntries(MEASURES.map((name) => [name, parseHistogram(row[name])])) as TurnFacts["measures"],
  };
}
