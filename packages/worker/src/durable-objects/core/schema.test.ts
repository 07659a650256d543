import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { type Migration, NewerSchemaError, upgradeSchema } from "./schema.ts";

const first: Migration = (sql) => sql.exec("CREATE TABLE IF NOT EXISTS a (x TEXT); INSERT INTO a VALUES ('first')");
const second: Migration = (sql) => sql.exec("ALTER TABLE a ADD COLUMN y TEXT; UPDATE a SET y = 'second'");
const failing: Migration = (sql) => {
  sql.exec("UPDATE a SET y = 'half'");
  throw new Error("no");
};

/** Runs a test in an object without tables. */
const inEmpty = (work: (storage: DurableObjectStorage) => void) =>
  inStorage((storage) => {
    storage.sql.exec("DROP TABLE schema_version");
    work(storage);
  });

const rows = ({ sql }: DurableObjectStorage) => sql.exec("SELECT * FROM a").toArray();

test("a new database gets every migration, once", () =>
  inEmpty((storage) => {
    upgradeSchema(storage, [first, second]);
    upgradeSchema(storage, [first, second]);
    expect(rows(storage)).toEqual([{ x: "first", y: "second" }]);
  }));

test("an older database gets the migrations that it lacks", () =>
  inEmpty((storage) => {
    upgradeSchema(storage, [first]);
    expect(rows(storage)).toEqual([{ x: "first" }]);
    upgradeSchema(storage, [first, second]);
    expect(rows(storage)).toEqual([{ x: "first", y: "second" }]);
  }));

test("a database of the newest version is not written", () =>
  inEmpty((storage) => {
    upgradeSchema(storage, [first]);
    const { sql } = storage;
    const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    const exec = (query: string, ...values: SqlStorageValue[]) => {
      const cursor = sql.exec(query, ...values);
      cursors.push(cursor);
      return cursor;
    };
    const neverAsked = () => {
      throw new Error("there is nothing to commit");
    };
    upgradeSchema({ sql: { exec } as typeof sql, transactionSync: neverAsked }, [first]);
    expect(cursors.map(({ rowsWritten }) => rowsWritten)).toEqual([0, 0]);
  }));

test("failed migrations are rolled back, and the next start retries them", () =>
  inEmpty((storage) => {
    upgradeSchema(storage, [first]);
    expect(() => upgradeSchema(storage, [first, second, failing])).toThrow("no");
    expect(rows(storage)).toEqual([{ x: "first" }]);
    upgradeSchema(storage, [first, second]);
    expect(rows(storage)).toEqual([{ x: "first", y: "second" }]);
  }));

test("a newer database is refused with an explanation, and left unchanged", () =>
  inEmpty((storage) => {
    upgradeSchema(storage, [first, second]);
    const before = rows(storage);
    expect(() => upgradeSchema(storage, [failing])).toThrow(NewerSchemaError);
    expect(() => upgradeSchema(storage, [failing])).toThrow("(schema 2; this version reads up to 1)");
    expect(rows(storage)).toEqual(before);
  }));
