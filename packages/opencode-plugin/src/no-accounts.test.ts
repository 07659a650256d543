/** The statements that OpenCode's accounts are hidden from, run by a real SQLite. */
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { withEmptyTables } from "./no-accounts.ts";

const database = new DatabaseSync(":memory:");
database.exec(`
  CREATE TABLE account (id TEXT, url TEXT);
  CREATE TABLE account_state (id INTEGER, active_account_id TEXT);
  CREATE TABLE session (id TEXT, account TEXT);
  INSERT INTO account VALUES ('acc_1', 'http://agent.test');
  INSERT INTO account_state VALUES (1, 'acc_1');
  INSERT INTO session VALUES ('ses_1', 'account');
`);
const rows = (sql: string) => database.prepare(withEmptyTables(sql)).all();

test.each([
  'select "id", "url" from "account" where "account"."id" = \'acc_1\'',
  "SELECT * FROM account",
  "select * from `account_state` limit 1",
  'select * from "account_state" inner join "account" on "account"."id" = "account_state"."active_account_id"',
  'with a as (select * from "account") select * from a',
])("reads no account: %s", (sql) => {
  expect(rows(sql)).toEqual([]);
});

test.each([
  'select * from "session"',
  "select account from session",
  "insert into account values ('acc_2', 'x') returning id",
])("leaves others as they are: %s", (sql) => {
  expect(rows(sql)).toHaveLength(1);
});
