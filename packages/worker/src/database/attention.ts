/** The sessions of an owner that need attention, as they last reported it. */
import type { AttentionItem } from "@valet/shared/protocol/now";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { VerdictView } from "@valet/shared/protocol/verdict";

/**
 * Returns the sessions that need attention, those that do for longest first. An index has them together and in order.
 * @param after the last item of the previous page
 */
export async function listAttention(
  db: D1Database,
  ownerId: string,
  limit: number,
  after?: { readonly since: string; readonly id: string },
): Promise<AttentionItem[]> {
  const { results } = await db
    .prepare(
      `SELECT id, json_extract(view, '$.attention') AS verdict, json_extract(view, '$.title') AS title,
         json_extract(view, '$.repoUrl') AS repoUrl, json_extract(view, '$.branch') AS branch
       FROM sessions WHERE owner_id = ? AND attention_since IS NOT NULL${
         after === undefined ? "" : " AND (attention_since, id) > (?, ?)"
       } ORDER BY attention_since, id LIMIT ?`,
    )
    .bind(ownerId, ...(after === undefined ? [] : [after.since, after.id]), limit)
    .all<{ id: string; verdict: string; title: string | null; repoUrl: string | null; branch: string | null }>();
  return results.map(({ id, verdict, title, repoUrl, branch }) => ({
    sessionId: id,
    title,
    // A row of an older version may hold a secret.
    repoUrl: repoUrl === null ? null : shownRepoUrl(repoUrl),
    branch,
    verdict: JSON.parse(verdict) as VerdictView,
  }));
}
