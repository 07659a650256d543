/** Counts what statements read, at the real database. */

type Cursor = SqlStorageCursor<Record<string, SqlStorageValue>>;

/** What a statement has read, in all runs together and in the run that read most. */
interface StatementRows {
  readonly runs: number;
  readonly rows: number;
  readonly most: number;
}

export type RowsRead = ReadonlyMap<string, StatementRows>;

/** Ends a statement of a test that is not counted. */
export const UNCOUNTED = "/* not counted */";

/**
 * Runs `work` and counts the rows that the statements of every object in this isolate read meanwhile, also those of objects that
 * start meanwhile.
 * @param sql the storage of any object
 */
export async function rowsReadBy(sql: SqlStorage, work: () => unknown): Promise<RowsRead> {
  const prototype = Object.getPrototypeOf(sql) as { exec: SqlStorage["exec"] };
  const { exec } = prototype;
  const cursors: { readonly query: string; readonly cursor: Cursor }[] = [];
  prototype.exec = function (this: SqlStorage, query: string, ...values: unknown[]) {
    const cursor = exec.call(this, query, ...values);
    if (!query.endsWith(UNCOUNTED)) cursors.push({ query, cursor });
    return cursor;
  } as SqlStorage["exec"];
  try {
    await work();
  } finally {
    prototype.exec = exec;
  }
  const read = new Map<string, StatementRows>();
  // A cursor counts while it is read, so the counts are complete only now.
  for (const { query, cursor } of cursors) {
    const { runs, rows, most } = read.get(query) ?? { runs: 0, rows: 0, most: 0 };
    const { rowsRead } = cursor;
    read.set(query, { runs: runs + 1, rows: rows + rowsRead, most: Math.max(most, rowsRead) });
  }
  return read;
}

export function totalOf(read: RowsRead): number {
  return [...read.values()].reduce((total, { rows }) => total + rows, 0);
}
