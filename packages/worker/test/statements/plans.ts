/** Reads SQLite's query plans, and finds the steps that may read more than one row. */

/** A statement of the Worker as it may run. */
export interface FoundStatement {
  /** By path from `src`. */
  readonly file: string;
  readonly by: "exec" | "prepare";
  readonly text: string;
  /** The same, with `…` where the text does not follow from the source. */
  readonly pattern: string;
}

declare module "vitest" {
  interface ProvidedContext {
    statements: readonly FoundStatement[];
  }
}

/** Returns whether a text has a pattern, in which `…` stands for any text. */
export function hasPattern(pattern: string, text: string): boolean {
  const parts = pattern.split("…").map((part) => part.trim().replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(text);
}

export interface Database {
  /** Runs a query. */
  all(query: string, ...values: string[]): Promise<Record<string, unknown>[]>;
}

/** Steps that read no table by themselves: what they combine has steps of its own. */
const STRUCTURE =
  /^(?:SETUP|SCAN CONSTANT ROW|RECURSIVE STEP|COMPOUND QUERY|LEFT-MOST SUBQUERY|UNION ALL|LEFT|RIGHT|MERGE \(|(?:CORRELATED )?(?:SCALAR|LIST) SUBQUERY|CREATE BLOOM FILTER|(?:CO-ROUTINE|MATERIALIZE) )/;
const READS =
  /^(?:SCAN|SEARCH) (\S+)(?: USING (?:COVERING )?(?:INTEGER PRIMARY KEY|PRIMARY KEY|INDEX (\S+)))?(?: \((.*)\))?/;
const SORTS = /^USE TEMP B-TREE FOR /;

/** Returns the steps of a statement that may read more than one row, but for those on tables that `isBounded`. */
export async function openSteps(
  database: Database,
  statement: string,
  isBounded: (table: string) => boolean,
): Promise<string[]> {
  const values = Array<string>(parametersOf(statement)).fill("1");
  const plan = await database.all(`EXPLAIN QUERY PLAN ${statement}`, ...values);
  const steps = plan.map(({ detail }) => detail as string);
  // SQLite empties a table without a plan.
  const [, emptied] = steps.length === 0 ? (/^DELETE FROM (\w+)$/.exec(statement) ?? []) : [];
  if (emptied !== undefined) return isBounded(emptied) ? [] : [`EVERY ROW OF ${emptied}`];
  const results = new Set(steps.flatMap((step) => /^(?:CO-ROUTINE|MATERIALIZE) (\S+)/.exec(step)?.[1] ?? []));
  const open: string[] = [];
  for (const step of steps) {
    if (STRUCTURE.test(step) || SORTS.test(step)) continue;
    const [, table = "", index, terms = ""] = READS.exec(step) ?? [];
    if (results.has(table) || isBounded(table) || (await readsOneRow(database, table, index, terms))) continue;
    open.push(step);
  }
  // Few rows may be sorted.
  return open.length === 0 ? [] : [...open, ...steps.filter((step) => SORTS.test(step))];
}

/** Returns whether a step finds a row by all columns of a unique key. */
async function readsOneRow(
  database: Database,
  table: string,
  index: string | undefined,
  terms: string,
): Promise<boolean> {
  const given = new Set(Array.from(terms.matchAll(/(\w+)=\?/g), ([, column]) => column as string));
  if (given.has("rowid")) return true;
  const key =
    index === undefined
      ? await database.all("SELECT name FROM pragma_table_info(?) WHERE pk > 0", table)
      : await database.all(
          `SELECT columns.name FROM pragma_index_list(?) AS list JOIN pragma_index_info(list.name) AS columns
           WHERE list.name = ? AND list."unique" = 1`,
          table,
          index,
        );
  return key.length > 0 && key.every(({ name }) => given.has(name as string));
}

/** Returns how many values a statement takes. */
function parametersOf(statement: string): number {
  const text = statement.replaceAll(/'[^']*'/g, "");
  const numbers = Array.from(text.matchAll(/\?(\d+)/g), ([, number]) => Number(number));
  return numbers.length > 0 ? Math.max(...numbers) : Array.from(text.matchAll(/\?/g)).length;
}
