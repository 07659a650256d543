import { beforeAll, expect, test } from "vitest";
import { bindings } from "../../test/bindings.ts";
import { countingDatabase } from "../../test/d1-rows.ts";
import { listAttention } from "./attention.ts";
import { migrate } from "./setup.ts";

const { DB, MIGRATIONS } = bindings;
const SESSIONS = 2000;

beforeAll(async () => {
  await migrate(DB, MIGRATIONS);
  // Of many sessions every hundredth needs attention, the newest for longest.
  await DB.prepare(
    `INSERT INTO sessions (id, owner_id, status, created_at, updated_at, version, view)
     WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?1 - 1)
     SELECT 'ses_' || printf('%06d', n), 'own', 'running', '2026', '2026', 1,
       CASE WHEN n % 100 = 0 THEN json_object('title', 't' || n, 'attention',
         json_object('since', '2026-01-01T00:00:00.' || printf('%06d', ?1 - n) || 'Z')) ELSE '{}' END FROM n`,
  )
    .bind(SESSIONS)
    .run();
});

test("attention is listed oldest first, page by page, each session once, and other owners have none of it", async () => {
  const seen: string[] = [];
  let after: { since: string; id: string } | undefined;
  for (;;) {
    const page = await listAttention(DB, "own", 7, after);
    seen.push(...page.map(({ title }) => title ?? ""));
    const last = page.at(-1);
    if (last === undefined) break;
    after = { since: last.verdict.since, id: last.sessionId };
  }
  expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => `t${SESSIONS - 100 * (index + 1)}`));
  expect(await listAttention(DB, "other", 7)).toEqual([]);
});

test("a page reads its own sessions, and none that need nothing", async () => {
  const { db, take } = countingDatabase(DB);
  const [, last] = await listAttention(db, "own", 2);
  expect(take()).toBeLessThanOrEqual(6);
  await listAttention(db, "own", 2, { since: last?.verdict.since ?? "", id: last?.sessionId ?? "" });
  expect(take()).toBeLessThanOrEqual(6);
});
