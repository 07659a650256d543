import { expect, test } from "vitest";
import { inStorage } from "../../test/in-storage.ts";
import { TABLES_OF_AD59303, upgradeFrom } from "../../test/old-tables.ts";
import { sourcesWith } from "../../test/sources.ts";

/** What there is in a database, but for the order of columns. */
function formOf(sql: SqlStorage): object {
  const known = sql
    .exec("SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE '\\_%' ESCAPE '\\'")
    .toArray();
  return Object.fromEntries(
    known.map(({ type, name }) => {
      const columns = sql
        .exec('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?) ORDER BY name', name)
        .toArray();
      return [`${type} ${name}`, columns];
    }),
  );
}

function dropAll(sql: SqlStorage): void {
  const tables = sql
    .exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
    .toArray();
  for (const { name } of tables) if (name !== "schema_version") sql.exec(`DROP TABLE ${name}`);
}

test("a database of the oldest version that is opened gets the form of a new one", () =>
  inStorage((storage) => {
    const { sql } = storage;
    const fresh = formOf(sql);
    dropAll(sql);
    upgradeFrom(storage, TABLES_OF_AD59303);
    expect(formOf(sql)).toEqual(fresh);
  }));

test("one without any table does, too", () =>
  inStorage((storage) => {
    const { sql } = storage;
    const fresh = formOf(sql);
    dropAll(sql);
    upgradeFrom(storage, "");
    expect(formOf(sql)).toEqual(fresh);
    expect(Object.keys(fresh).length).toBeGreaterThan(25);
  }));

test("no table is made but by a migration, and no column added", () => {
  const makers = sourcesWith(/(?:CREATE|ALTER|DROP) (?:TABLE|INDEX|UNIQUE)/);
  expect(makers).toEqual(["capacity/capacity.ts", "core/schema.ts", "session-schema.ts"]);
});
