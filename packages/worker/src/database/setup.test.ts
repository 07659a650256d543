import { expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { hashToken } from "../durable-objects/core/ids.ts";
import { makeToken, migrate } from "./setup.ts";

const { DB, MIGRATIONS } = bindings;

async function tables(): Promise<string[]> {
  const { results } = await DB.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all<{ name: string }>();
  return results.map(({ name }) => name);
}

test("migrations are applied once, in order, and a later one is added", async () => {
  await migrate(DB, MIGRATIONS);
  await migrate(DB, MIGRATIONS);
  expect(await tables()).toEqual(expect.arrayContaining(["tokens", "socket_tickets", "sessions", "turns"]));
  const more =
    "CREATE TABLE a (x); -- one;\nCREATE TABLE b (\n  y DEFAULT 'two  spaces'\n);\nINSERT INTO b DEFAULT VALUES;\n";
  await migrate(DB, [...MIGRATIONS, { name: "0099_more.sql", sql: more }]);
  expect(await DB.prepare("SELECT y FROM b").first("y")).toBe("two  spaces");
  expect(await tables()).toEqual(expect.arrayContaining(["a", "b"]));
  const { results } = await DB.prepare("SELECT name FROM d1_migrations ORDER BY id").all();
  expect(results).toEqual([...MIGRATIONS.map(({ name }) => ({ name })), { name: "0099_more.sql" }]);
});

test("migration numbers are consecutive and unique", () => {
  // Both were made on one day. Deployments know applied migrations by name, so renaming one would apply it again.
  const twins = ["0004_error_causes.sql", "0004_export_problems.sql"];
  const names = MIGRATIONS.map(({ name }) => name);
  for (const name of names) expect(name).toMatch(/^\d{4}_[a-z0-9_]+\.sql$/);
  expect(names).toEqual(expect.arrayContaining(twins));
  const numbers = names.filter((name) => name !== twins[1]).map((name) => Number(name.slice(0, 4)));
  expect(numbers).toEqual(numbers.map((_, place) => place + 1));
});

test("no string of a migration contains a line break or a comment, which `valet up` would remove", () => {
  for (const { name, sql } of MIGRATIONS) {
    for (const line of sql.split("\n")) {
      const [code = ""] = line.split("--");
      expect(code.split("'").length % 2, `${name}: ${line}`).toBe(1);
    }
  }
});

test("a failed migration leaves nothing behind and is retried", async () => {
  await migrate(DB, MIGRATIONS);
  const name = "0098_bad.sql";
  await expect(migrate(DB, [{ name, sql: "CREATE TABLE half (x);\nNONSENSE;" }])).rejects.toThrow();
  expect(await tables()).not.toContain("half");
  await migrate(DB, [{ name, sql: "CREATE TABLE half (x);" }]);
  expect(await tables()).toContain("half");
});

test("only a token's hash is stored", async () => {
  await migrate(DB, MIGRATIONS);
  const { token, statement } = makeToken("owner", "laptop", { now: new Date("2026-01-02T03:04:05Z") });
  await DB.prepare(statement.sql)
    .bind(...statement.params)
    .run();
  const row = await DB.prepare("SELECT * FROM tokens WHERE hash = ?").bind(hashToken(token)).first();
  expect(row).toEqual({
    hash: hashToken(token),
    owner_id: "owner",
    name: "laptop",
    created_at: "2026-01-02T03:04:05.000Z",
    speaks_for_others: 0,
    expires_at: null,
    last_used_at: null,
    created_by: null,
  });
  expect(JSON.stringify(row)).not.toContain(token);
});
