import { type FoundId, ID_PREFIXES } from "@valet/shared/protocol/found-ids";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { hasWords } from "@valet/shared/search-words";
import { idRange } from "../durable-objects/core/id-range.ts";
import { fillPage } from "../durable-objects/core/page-bytes.ts";

export interface ProjectedSession {
  readonly ownerId: string;
  /** Counts the session's changes, so that an older row never replaces a newer one. */
  readonly version: number;
  readonly view: SessionView;
}

/** Inserts or updates a session's row; does nothing if the row is newer, or the session was deleted. */
export function upsertSession(db: D1Database, { ownerId, version, view }: ProjectedSession): D1PreparedStatement {
  return db
    .prepare(
      `INSERT INTO sessions (id, owner_id, status, parent_session_id, created_at, updated_at, version, view)
       SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM deleted_sessions WHERE id = ?1)
       ON CONFLICT (id) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at,
         version = excluded.version, view = excluded.view
       WHERE excluded.version > sessions.version`,
    )
    .bind(
      view.id,
      ownerId,
      view.status,
      view.parentSessionId ?? null,
      view.createdAt,
      view.updatedAt,
      version,
      JSON.stringify(view),
    );
}

/** Returns whether the owner has a session with this id. */
export async function ownsSession(db: D1Database, id: string, ownerId: string): Promise<boolean> {
  const query = db.prepare("SELECT 1 FROM sessions WHERE id = ? AND owner_id = ?").bind(id, ownerId);
  return (await query.first()) !== null;
}

/** Returns those of the sessions that are the owner's, with their titles. */
export async function ownSessions(
  db: D1Database,
  ownerId: string,
  ids: readonly string[],
): Promise<{ readonly id: string; readonly title: string | null }[]> {
  const { results } = await db
    .prepare(
      `SELECT sessions.id, json_extract(view, '$.title') AS title FROM json_each(?1)
       CROSS JOIN sessions ON sessions.id = json_each.value WHERE owner_id = ?2`,
    )
    .bind(JSON.stringify(ids), ownerId)
    .all<{ id: string; title: string | null }>();
  return results;
}

/** Returns the owner's sessions whose ids begin with a text, with or without `ses_`, in the order of the ids. */
export async function findSessionIds(
  db: D1Database,
  ownerId: string,
  prefix: string,
  limit: number,
): Promise<FoundId[]> {
  const { session } = ID_PREFIXES;
  const { from, to } = idRange(prefix.startsWith(session) ? prefix : session + prefix);
  const { results } = await db
    .prepare(
      `SELECT id, created_at AS at, json_extract(view, '$.title') AS title FROM sessions
       WHERE owner_id = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?`,
    )
    .bind(ownerId, from, to, limit)
    .all<Omit<FoundId, "kind">>();
  return results.map((found) => ({ kind: "session", ...found }));
}

export interface SessionFilter {
  /** The last item of the previous page. */
  readonly before?: { readonly createdAt: string; readonly id: string } | undefined;
  /** Only the children of this session. */
  readonly parentSessionId?: string | undefined;
  /** Only sessions whose spans do not reach the backend. */
  readonly hasExportProblem?: boolean | undefined;
}

/** The maximum size of a page, in characters; the row that exceeds it is the page's last. */
const MAX_LISTED_LENGTH = 8 * 1024 * 1024;

/**
 * Returns the owner's sessions as last projected, newest first, until they fill {@link MAX_LISTED_LENGTH}. Each combination of
 * conditions is a statement of its own, for which an index has the rows of the page together and in order; a condition like
 * `? IS NULL OR …` would read all sessions of the owner.
 */
export async function listSessions(
  db: D1Database,
  ownerId: string,
  limit: number,
  { before, parentSessionId, hasExportProblem = false }: SessionFilter = {},
): Promise<SessionView[]> {
  const { results } = await db
    .prepare(
      `WITH page AS (
         SELECT created_at, id, view FROM sessions
         WHERE owner_id = ?${parentSessionId === undefined ? "" : " AND parent_session_id = ?"}${
           before === undefined ? "" : " AND (created_at, id) < (?, ?)"
         }${hasExportProblem ? " AND export_problem IS NOT NULL" : ""}
         ORDER BY created_at DESC, id DESC LIMIT ?),
       sized AS (
         SELECT view, created_at, id, SUM(LENGTH(view)) OVER (
           ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM page)
       SELECT view FROM sized WHERE COALESCE(before, 0) < ${MAX_LISTED_LENGTH} ORDER BY created_at DESC, id DESC`,
    )
    .bind(
      ownerId,
      ...(parentSessionId === undefined ? [] : [parentSessionId]),
      ...(before === undefined ? [] : [before.createdAt, before.id]),
      limit,
    )
    .all<{ view: string }>();
  return results.map(({ view }) => withoutSecrets(JSON.parse(view) as SessionView));
}

/** A place in the list of sessions. */
export interface ListedPlace {
  readonly createdAt: string;
  readonly id: string;
}

/** What is searched of a session. */
interface SearchedRow {
  readonly id: string;
  readonly createdAt: string;
  readonly title: string | null;
  readonly repoUrl: string | null;
  readonly branch: string | null;
  readonly userId: string | null;
  readonly model: string | null;
}

/** How many sessions a page of a search looks at. */
const MAX_SEARCHED = 1000;

/**
 * Finds the owner's sessions with all of these words, newest first. The words are compared here and not in the database, which knows
 * the case of ASCII letters only.
 * @param words of `searchWords`
 * @param limit the maximum number of sessions
 * @returns `next`: where the next page begins; a page may have few sessions or none and still not be the last
 */
export async function searchSessions(
  db: D1Database,
  ownerId: string,
  words: readonly string[],
  limit: number,
  { before, parentSessionId, hasExportProblem = false }: SessionFilter = {},
): Promise<{ readonly sessions: SessionView[]; readonly next: ListedPlace | undefined }> {
  const { results } = await db
    .prepare(
      `SELECT id, created_at AS createdAt, json_extract(view, '$.title') AS title, json_extract(view, '$.repoUrl') AS repoUrl,
         json_extract(view, '$.branch') AS branch, json_extract(view, '$.userId') AS userId, json_extract(view, '$.model') AS model
       FROM sessions WHERE owner_id = ?${parentSessionId === undefined ? "" : " AND parent_session_id = ?"}${
         before === undefined ? "" : " AND (created_at, id) < (?, ?)"
       }${hasExportProblem ? " AND export_problem IS NOT NULL" : ""}
       ORDER BY created_at DESC, id DESC LIMIT ${MAX_SEARCHED}`,
    )
    .bind(
      ownerId,
      ...(parentSessionId === undefined ? [] : [parentSessionId]),
      ...(before === undefined ? [] : [before.createdAt, before.id]),
    )
    .all<SearchedRow & Record<string, unknown>>();
  const found = results.filter(({ id, title, repoUrl, branch, userId, model }) => {
    // Rows of older versions may hold secrets, which nobody can search for.
    const shownUrl = repoUrl === null ? null : shownRepoUrl(repoUrl);
    return hasWords(words, [id, title, shownUrl, branch, userId, model]);
  });
  const page = found.slice(0, limit);
  const read = await db
    .prepare("SELECT view FROM sessions WHERE id IN (SELECT value FROM json_each(?)) ORDER BY created_at DESC, id DESC")
    .bind(JSON.stringify(page.map(({ id }) => id)))
    .all<{ view: string }>();
  const views = read.results.map(({ view }) => withoutSecrets(JSON.parse(view) as SessionView));
  const sessions = fillPage(views, (view) => view);
  // Where the page ends does not depend on its sessions being there: one may have been deleted between the two statements.
  const last =
    sessions.length < views.length
      ? sessions.at(-1)
      : found.length > page.length
        ? page.at(-1)
        : results.length === MAX_SEARCHED
          ? results.at(-1)
          : undefined;
  return { sessions, next: last && { createdAt: last.createdAt, id: last.id } };
}

/** The sessions of all owners whose spans do not reach the backend. */
export interface ExportProblems {
  /** At most {@link MAX_COUNTED}, the oldest problems first. */
  readonly sessions: number;
  /** The spans of these sessions. */
  readonly waitingSpans: number;
  /** Start of the oldest problem; ISO 8601. */
  readonly since?: string;
  readonly reason?: string;
}

/** Bounds what a request without a token can make the database read while the backend is down. */
const MAX_COUNTED = 1000;

export async function countExportProblems(db: D1Database): Promise<ExportProblems> {
  const row = await db
    .prepare(
      `SELECT COUNT(*) AS sessions, COALESCE(SUM(json_extract(problem, '$.waitingSpans')), 0) AS waitingSpans,
         MIN(since) AS since, json_extract(problem, '$.reason') AS reason
       FROM (SELECT export_problem AS problem, export_problem_since AS since FROM sessions
         WHERE export_problem IS NOT NULL ORDER BY export_problem_since LIMIT ${MAX_COUNTED})`,
    )
    .first<{ sessions: number; waitingSpans: number; since: string | null; reason: string | null }>();
  const { sessions = 0, waitingSpans = 0, since, reason } = row ?? {};
  return { sessions, waitingSpans, ...(since && { since }), ...(reason && { reason }) };
}

/** Removes secrets from the repository's URL, which rows of older versions may hold. */
function withoutSecrets(view: SessionView): SessionView {
  return view.repoUrl === undefined ? view : { ...view, repoUrl: shownRepoUrl(view.repoUrl) };
}
