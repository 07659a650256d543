import { knownSum } from "@valet/shared/protocol/cost";
import type { FamilyView } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { withoutUndefined } from "@valet/shared/without-undefined";

/** Bounds the recursion, even if rows form a cycle. */
const MAX_LEVELS = 32;
const MAX_LISTED = 1000;

/**
 * CROSS JOIN keeps the order of tables: otherwise SQLite may read all children of the owner for each session of the family, and the
 * whole family for each row of `session_costs`.
 */
const FAMILY = `WITH RECURSIVE family (id, level) AS (
    SELECT id, 0 FROM sessions WHERE id = ?1 AND owner_id = ?2
    UNION ALL
    SELECT child.id, level + 1 FROM family CROSS JOIN sessions AS child ON child.parent_session_id = family.id
    WHERE child.owner_id = ?2 AND level < ${MAX_LEVELS})`;
/** A known sum of `session_costs`; NULL when that is 0 and some values are unknown, as `knownSum` does. */
const known = (sum: string, lacking: string) =>
  `CASE WHEN TOTAL(${sum}) = 0 AND TOTAL(${lacking}) > 0 THEN NULL ELSE TOTAL(${sum}) END AS ${sum}`;
const SPENT = `TOTAL(turns) AS turns, ${known("cost_usd", "turns_without_cost")},
    ${known("tokens_input", "turns_without_usage")}, ${known("tokens_output", "turns_without_usage")},
    TOTAL(turns_without_cost) AS turns_without_cost, TOTAL(turns_without_usage) AS turns_without_usage`;

interface Spent extends Omit<FamilyView["total"], "turns_without_cost" | "turns_without_usage"> {
  readonly turns_without_cost: number;
  readonly turns_without_usage: number;
}

/**
 * Returns a session and its descendants as last projected, oldest first, with their costs. The total includes all of
 * them, however many are listed. Reads rows of the family's sessions, and none of their turns. `undefined` when the
 * owner has no such session.
 */
export async function readFamily(db: D1Database, id: string, ownerId: string): Promise<FamilyView | undefined> {
  const [members, sums] = (await db.batch([
    db
      .prepare(
        `${FAMILY} SELECT family.level AS depth, json_remove(sessions.view, '$.permissions', '$.questions') AS view, ${SPENT}
         FROM family CROSS JOIN sessions ON sessions.id = family.id LEFT JOIN session_costs ON session_id = family.id
         GROUP BY family.level, sessions.created_at, family.id
         ORDER BY family.level, sessions.created_at, family.id LIMIT ${MAX_LISTED}`,
      )
      .bind(id, ownerId),
    db
      .prepare(`${FAMILY} SELECT ${SPENT} FROM family CROSS JOIN session_costs ON session_id = family.id`)
      .bind(id, ownerId),
  ])) as [D1Result<Spent & { depth: number; view: string }>, D1Result<Spent>];
  if (members.results.length === 0) return undefined;
  const sessions = members.results.map(({ view, depth, ...spent }) => ({
    ...summary(JSON.parse(view) as SessionView),
    depth,
    ...withoutZeros(spent),
  }));
  return { sessions, total: withoutZeros(sums.results[0] as Spent) };
}

/** A child, with what its turns cost as far as that is known. */
export interface ChildMember extends ReturnType<typeof summary> {
  readonly cost_usd: number | null;
  readonly turns_without_cost: number;
}

/** Returns the newest children of a session as last projected, oldest first. Reads no rows of others, nor of their descendants. */
export async function readChildren(
  db: D1Database,
  parentId: string,
  ownerId: string,
  limit: number,
): Promise<ChildMember[]> {
  const { results } = await db
    .prepare(
      `SELECT json_remove(view, '$.permissions', '$.questions') AS view, IFNULL(cost_usd, 0) AS cost_usd,
         IFNULL(turns_without_cost, 0) AS turns_without_cost
       FROM sessions LEFT JOIN session_costs ON session_id = sessions.id
       WHERE sessions.owner_id = ? AND parent_session_id = ? ORDER BY created_at DESC, sessions.id DESC LIMIT ?`,
    )
    .bind(ownerId, parentId, limit)
    .all<{ view: string; cost_usd: number; turns_without_cost: number }>();
  return results.toReversed().map(({ view, cost_usd, turns_without_cost }) => ({
    ...summary(JSON.parse(view) as SessionView),
    cost_usd: knownSum(cost_usd, turns_without_cost),
    turns_without_cost,
  }));
}

/** Removes the counts of missing values when they are 0. */
function withoutZeros({ turns_without_cost, turns_without_usage, ...sums }: Spent): FamilyView["total"] {
  return {
    ...sums,
    ...withoutUndefined({
      turns_without_cost: turns_without_cost || undefined,
      turns_without_usage: turns_without_usage || undefined,
    }),
  };
}

function summary(view: SessionView) {
  const { id, parentSessionId, title, status, failure, warnings, agent, queueLength, capacityPlace, createdAt } = view;
  return {
    id,
    status,
    agent,
    queueLength,
    createdAt,
    ...withoutUndefined({ failure, warnings, parentSessionId, title, capacityPlace }),
  };
}
