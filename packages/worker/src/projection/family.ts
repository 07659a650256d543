import type { FamilyMember, FamilyView } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";

/** However the rows may hang together, no query runs for ever. */
const MAX_LEVELS = 32;
const MAX_LISTED = 1000;

const FAMILY = `WITH RECURSIVE family (id, level) AS (
    SELECT id, 0 FROM sessions WHERE id = ?1 AND owner_id = ?2
    UNION ALL
    SELECT child.id, level + 1 FROM sessions AS child JOIN family ON child.parent_session_id = family.id
    WHERE child.owner_id = ?2 AND level < ${MAX_LEVELS})`;
const SPENT = `COUNT(turns.attempt_id) AS turns, TOTAL(cost_usd) AS cost_usd, TOTAL(tokens_input) AS tokens_input,
    TOTAL(tokens_output) AS tokens_output`;

type Spent = Pick<FamilyMember, "turns" | "cost_usd" | "tokens_input" | "tokens_output">;

/**
 * A session and all that descend from it, as they were last projected, the oldest first, and what they have cost. The sum is of
 * all of them, however many are listed. `undefined` where there is no such session of the owner's.
 */
export async function readFamily(db: D1Database, id: string, ownerId: string): Promise<FamilyView | undefined> {
  const [members, sums] = (await db.batch([
    db
      .prepare(
        `${FAMILY} SELECT family.level AS depth, json_remove(sessions.view, '$.permissions', '$.questions') AS view, ${SPENT}
         FROM family JOIN sessions ON sessions.id = family.id LEFT JOIN turns ON turns.session_id = family.id
         GROUP BY family.id ORDER BY family.level, sessions.created_at, family.id LIMIT ${MAX_LISTED}`,
      )
      .bind(id, ownerId),
    db.prepare(`${FAMILY} SELECT ${SPENT} FROM family JOIN turns ON turns.session_id = family.id`).bind(id, ownerId),
  ])) as [D1Result<Spent & { depth: number; view: string }>, D1Result<Spent>];
  if (members.results.length === 0) return undefined;
  const sessions = members.results.map(({ view, ...rest }) => ({
    ...summary(JSON.parse(view) as SessionView),
    ...rest,
  }));
  return { sessions, total: sums.results[0] as Spent };
}

function summary(view: SessionView) {
  const { id, parentSessionId, title, status, failure, agent, queueLength, capacityPlace, createdAt } = view;
  return {
    ...{ id, status, agent, queueLength, createdAt },
    ...(failure !== undefined && { failure }),
    ...(parentSessionId !== undefined && { parentSessionId }),
    ...(title !== undefined && { title }),
    ...(capacityPlace !== undefined && { capacityPlace }),
  };
}
