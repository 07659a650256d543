import { knownSum } from "@valet/shared/protocol/cost";
import type { FamilyView } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { withoutUndefined } from "@valet/shared/without-undefined";

/** Bounds the recursion, even if rows form a cycle. */
const MAX_LEVELS = 32;
const MAX_LISTED = 1000;
/** How many sessions of a family are added up. */
const MAX_READ = 10_000;

/**
 * The sessions of a family, level by level; of a level, the newest first. CROSS JOIN keeps the order of tables: otherwise SQLite may
 * read all children of the owner for each session of the family, and the whole family for each row of `session_costs`. The LIMIT of
 * the recursion would not bound the children of one session, which SQLite reads together.
 */
const FAMILY = `WITH RECURSIVE family (id, level, created_at) AS (
    SELECT id, 0, created_at FROM sessions WHERE id = ?1 AND owner_id = ?2
    UNION ALL
    SELECT child.id, level + 1, child.created_at FROM family CROSS JOIN sessions AS child ON child.id IN (
      SELECT id FROM sessions WHERE owner_id = ?2 AND parent_session_id = family.id
      ORDER BY created_at DESC, id DESC LIMIT ${MAX_READ})
    WHERE level < ${MAX_LEVELS}
    ORDER BY 2, 3 DESC LIMIT 1 + ${MAX_READ})`;
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

interface SumRow extends Spent {
  readonly depth: null;
  readonly created_at: null;
  readonly id: null;
  readonly view: null;
  readonly size: number;
}
interface MemberRow extends Spent {
  readonly depth: number;
  readonly created_at: string;
  readonly id: string;
  readonly view: string;
  readonly size: 1;
}

/**
 * Returns a session and its descendants as last projected, with their costs: parents before their children, the oldest of a level
 * first. If there are too many, they are listed level by level, and of the last level the newest. Reads rows of the family's sessions, up to
 * {@link MAX_READ}, and none of their turns. `undefined` when the owner has no such session.
 */
export async function readFamily(db: D1Database, sessionId: string, ownerId: string): Promise<FamilyView | undefined> {
  // The first row is the total: its depth is NULL.
  const { results } = await db
    .prepare(
      `${FAMILY},
       page AS (SELECT * FROM family ORDER BY level, created_at DESC, id DESC LIMIT ${MAX_LISTED})
       SELECT NULL AS depth, NULL AS created_at, NULL AS id, NULL AS view, COUNT(*) AS size, ${SPENT}
       FROM family LEFT JOIN session_costs ON session_id = family.id
       UNION ALL
       SELECT page.level, page.created_at, page.id, json_remove(sessions.view, '$.permissions', '$.questions'), 1, ${SPENT}
       FROM page CROSS JOIN sessions ON sessions.id = page.id LEFT JOIN session_costs ON session_id = page.id GROUP BY page.id
       ORDER BY depth, created_at, id`,
    )
    .bind(sessionId, ownerId)
    .all<SumRow | MemberRow>();
  const [sum, ...members] = results as [SumRow, ...MemberRow[]];
  if (members.length === 0) return undefined;
  const sessions = members.map(({ view, depth, ...spent }) => ({
    ...summary(JSON.parse(view) as SessionView),
    depth,
    ...spentOf(spent),
  }));
  const { size } = sum;
  const leftOut = size - sessions.length;
  return {
    sessions,
    total: spentOf(sum),
    ...(leftOut > 0 && { sessions_left_out: leftOut }),
    ...(size > MAX_READ && { partial: true as const }),
  };
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

/** Returns what sessions have spent, without the counts of missing values that are 0. */
function spentOf({ turns, cost_usd, tokens_input, tokens_output, ...lacking }: Spent): FamilyView["total"] {
  return {
    turns,
    cost_usd,
    tokens_input,
    tokens_output,
    ...withoutUndefined({
      turns_without_cost: lacking.turns_without_cost || undefined,
      turns_without_usage: lacking.turns_without_usage || undefined,
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
