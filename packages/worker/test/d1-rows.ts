/** Counts the rows that the statements of D1 read. */
interface Counted {
  readonly db: D1Database;
  /** Returns the rows read since the last call. */
  take(): number;
}

/** Returns a database that runs its statements on `db` and counts what they read. */
export function countingDatabase(db: D1Database): Counted {
  let rows = 0;
  const count = <T>(result: D1Result<T>): D1Result<T> => {
    rows += result.meta.rows_read;
    return result;
  };
  const wrap = (statement: D1PreparedStatement): D1PreparedStatement =>
    ({
      bound: statement,
      bind: (...values: unknown[]) => wrap(statement.bind(...values)),
      all: async () => count(await statement.all()),
      run: async () => count(await statement.run()),
      first: async () => count(await statement.all()).results[0] ?? null,
    }) as unknown as D1PreparedStatement;
  const counting = {
    prepare: (query: string) => wrap(db.prepare(query)),
    batch: async (statements: readonly { readonly bound: D1PreparedStatement }[]) => {
      return (await db.batch(statements.map(({ bound }) => bound))).map(count);
    },
  };
  const take = () => {
    const taken = rows;
    rows = 0;
    return taken;
  };
  return { db: counting as unknown as D1Database, take };
}
