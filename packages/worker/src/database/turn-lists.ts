/**
 * Reads turns across an owner's sessions. The rows that a statement reads are bounded whatever the filters are and however many turns
 * there are: one filter chooses an index, which has the candidates together and in order; a fixed number of them is read, and the
 * other filters apply to those.
 */
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { MAX_EXACT_TURNS, type TurnSort } from "@valet/shared/protocol/turn-stats";

export interface TurnFilter {
  readonly user?: string | undefined;
  readonly repository?: string | undefined;
  readonly branch?: string | undefined;
  readonly model?: string | undefined;
  readonly outcome?: string | undefined;
  readonly error?: string | undefined;
  readonly channel?: string | undefined;
  readonly tool?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly parentSessionId?: string | undefined;
}

/** A period of ends of turns; ISO 8601 UTC. */
export interface Period {
  readonly from: string;
  /** Excluded. */
  readonly to: string;
}

/** A place in a list by time. */
export interface EndedTurn {
  readonly endedAt: string;
  readonly attemptId: string;
}

/** How many turns a page by time looks at, at most. */
const MAX_LOOKED_AT = 1000;

/** The first cause of a failed turn, as the index has it (migration 0019). */
const CAUSE = "COALESCE(error_cause, error_type)";

/** ?1 is the owner, then come the filters, the period from ?12, and what follows from the kind of list, from ?15. */
const FILTERS = `(?2 IS NULL OR user_id = ?2) AND (?3 IS NULL OR repository = ?3) AND (?4 IS NULL OR branch = ?4)
  AND (?5 IS NULL OR model = ?5) AND (?6 IS NULL OR outcome = ?6) AND (?7 IS NULL OR ${CAUSE} = ?7)
  AND (?8 IS NULL OR channel = ?8) AND (?9 IS NULL OR session_id = ?9) AND (?10 IS NULL OR parent_session_id = ?10)
  AND (?11 IS NULL OR EXISTS (SELECT 1 FROM json_each(tools) WHERE value = ?11))`;

/** What a list is sorted by, where that is not the time. */
const SORTED_BY = `CASE ?16 WHEN 'wait' THEN queue_wait_ms WHEN 'first_token' THEN time_to_first_token_ms
  WHEN 'duration' THEN turn_ms WHEN 'cost' THEN cost_usd WHEN 'tokens' THEN tokens_input + tokens_output END`;

interface TurnStatements {
  readonly page: D1PreparedStatement;
  readonly last: D1PreparedStatement;
  readonly sorted: D1PreparedStatement;
  readonly beyond: D1PreparedStatement;
}

/** Returns the statements for the filter that finds the fewest candidates. */
function statementsFor(db: D1Database, filter: TurnFilter): TurnStatements {
  if (filter.sessionId !== undefined) return statements(db, "session_id = ?9 AND owner_id = ?1");
  if (filter.error !== undefined) return statements(db, `owner_id = ?1 AND ${CAUSE} = ?7`);
  if (filter.outcome !== undefined && filter.outcome !== "ok") {
    return statements(db, "owner_id = ?1 AND outcome = ?6 AND outcome <> 'ok'");
  }
  if (filter.user !== undefined) return statements(db, "owner_id = ?1 AND user_id = ?2");
  if (filter.repository !== undefined) return statements(db, "owner_id = ?1 AND repository = ?3");
  return statements(db, "owner_id = ?1");
}

function statements(db: D1Database, candidates: string): TurnStatements {
  return {
    page: db.prepare(
      `SELECT * FROM (
         SELECT * FROM turns WHERE ${candidates} AND ended_at >= ?12 AND (ended_at, attempt_id) < (?13, ?14)
         ORDER BY ended_at DESC, attempt_id DESC LIMIT ?15)
       WHERE ${FILTERS} ORDER BY ended_at DESC, attempt_id DESC LIMIT ?16`,
    ),
    // It reads a row for each turn that the page has looked at, so it is asked for only if that is not full.
    last: db.prepare(
      `SELECT ended_at AS endedAt, attempt_id AS attemptId FROM turns
       WHERE ${candidates} AND ended_at >= ?12 AND (ended_at, attempt_id) < (?13, ?14)
       ORDER BY ended_at DESC, attempt_id DESC LIMIT (
         SELECT COUNT(*) < ?16 FROM (SELECT 1 FROM (
           SELECT * FROM turns WHERE ${candidates} AND ended_at >= ?12 AND (ended_at, attempt_id) < (?13, ?14)
           ORDER BY ended_at DESC, attempt_id DESC LIMIT ?15) WHERE ${FILTERS} LIMIT ?16))
       OFFSET ?15 - 1`,
    ),
    sorted: db.prepare(
      `SELECT * FROM (
         SELECT *, ${SORTED_BY} AS sorted_by FROM (
           SELECT * FROM turns WHERE ${candidates} AND ended_at >= ?12 AND (ended_at, attempt_id) < (?13, ?14)
           ORDER BY ended_at DESC, attempt_id DESC LIMIT ?15)
         WHERE ${FILTERS})
       WHERE sorted_by IS NOT NULL AND (?17 IS NULL OR (sorted_by, attempt_id) < (?17, ?18))
       ORDER BY sorted_by DESC, attempt_id DESC LIMIT ?19`,
    ),
    beyond: db.prepare(
      `SELECT 1 FROM turns WHERE ${candidates} AND ended_at >= ?12 AND (ended_at, attempt_id) < (?13, ?14)
       ORDER BY ended_at DESC, attempt_id DESC LIMIT 1 OFFSET ?15`,
    ),
  };
}

/** The values of ?1 to ?14. */
function candidatesOf(ownerId: string, filter: TurnFilter, from: string, { endedAt, attemptId }: EndedTurn) {
  const { user, repository, branch, model, outcome, error, channel, sessionId, parentSessionId, tool } = filter;
  const filters = [user, repository, branch, model, outcome, error, channel, sessionId, parentSessionId, tool];
  return [ownerId, ...filters.map((each) => each ?? null), from, endedAt, attemptId];
}

export interface TurnPage {
  readonly turns: TurnRecord[];
  /** Where the next page begins; `undefined` on the last one. */
  readonly next: EndedTurn | undefined;
}

/**
 * Returns turns, those that ended last first. A page may have few turns or none and still not be the last.
 * @param before the place where the page begins
 */
export async function listTurns(
  db: D1Database,
  ownerId: string,
  filter: TurnFilter,
  { from, to }: Period,
  limit: number,
  before: EndedTurn = { endedAt: to, attemptId: "" },
): Promise<TurnPage> {
  const values = candidatesOf(ownerId, filter, from, before);
  const { page, last } = statementsFor(db, filter);
  // In one transaction: a turn that arrived in between would be on two pages.
  const [found, end] = await db.batch<Record<string, unknown>>([
    page.bind(...values, MAX_LOOKED_AT, limit + 1),
    last.bind(...values, MAX_LOOKED_AT, limit + 1),
  ]);
  const rows = found?.results ?? [];
  const turns = rows.slice(0, limit).map(turnOf);
  const shown = turns.at(-1);
  if (rows.length > limit && shown !== undefined) {
    return { turns, next: { endedAt: shown.ended_at, attemptId: shown.attempt_id } };
  }
  return { turns, next: end?.results[0] as EndedTurn | undefined };
}

/** A place in a list that is sorted by a value. */
export interface SortedPlace {
  readonly value: number;
  readonly attemptId: string;
}

export interface SortedPage {
  readonly turns: TurnRecord[];
  /** Whether the period has turns that were not looked at. */
  readonly isPartial: boolean;
  readonly next: SortedPlace | undefined;
}

/** Returns the turns of a period, those with the largest value first. Turns without the value are left out. */
export async function listSortedTurns(
  db: D1Database,
  ownerId: string,
  filter: TurnFilter,
  { from, to }: Period,
  sort: Exclude<TurnSort, "time">,
  limit: number,
  before?: SortedPlace,
): Promise<SortedPage> {
  const values = candidatesOf(ownerId, filter, from, { endedAt: to, attemptId: "" });
  const { sorted, beyond } = statementsFor(db, filter);
  const [found, more] = await db.batch<Record<string, unknown>>([
    sorted.bind(...values, MAX_EXACT_TURNS, sort, before?.value ?? null, before?.attemptId ?? null, limit + 1),
    beyond.bind(...values, MAX_EXACT_TURNS),
  ]);
  const rows = found?.results ?? [];
  const shown = rows.slice(0, limit).at(-1);
  return {
    turns: rows.slice(0, limit).map(turnOf),
    isPartial: (more?.results.length ?? 0) > 0,
    next:
      rows.length > limit && shown !== undefined
        ? { value: shown.sorted_by as number, attemptId: shown.attempt_id as string }
        : undefined,
  };
}

/** Returns the turns of a period for exact statistics; `undefined` if there are more than {@link MAX_EXACT_TURNS} to look at. */
export async function readExactly(
  db: D1Database,
  ownerId: string,
  filter: TurnFilter,
  { from, to }: Period,
): Promise<readonly TurnRecord[] | undefined> {
  const values = candidatesOf(ownerId, filter, from, { endedAt: to, attemptId: "" });
  const { sorted, beyond } = statementsFor(db, filter);
  const more = await beyond.bind(...values, MAX_EXACT_TURNS).all();
  if (more.results.length > 0) return undefined;
  // Every turn has a duration.
  const found = await sorted
    .bind(...values, MAX_EXACT_TURNS, "duration", null, null, MAX_EXACT_TURNS)
    .all<Record<string, unknown>>();
  return found.results.map(turnOf);
}

/** Columns whose values are lists. */
const LISTS = ["message_ids", "queue_reasons", "answered_by", "tools"] as const;

function turnOf({ owner_id: _, sorted_by: __, ...row }: Record<string, unknown>): TurnRecord {
  const lists = LISTS.map((name) => [name, row[name] === null ? null : JSON.parse(row[name] as string)]);
  return { ...row, ...Object.fromEntries(lists) } as unknown as TurnRecord;
}
