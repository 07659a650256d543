/** Turns across sessions, and statistics of them. */
import { createRoute } from "@hono/zod-openapi";
import { ERROR_BOUND } from "@valet/shared/answers/turn-stats/histogram";
import { groupTurns, type TurnFacts } from "@valet/shared/answers/turn-stats/turn-stats";
import { firstCause } from "@valet/shared/protocol/first-cause";
import { canonicalRepoUrl } from "@valet/shared/protocol/repo-url";
import { MAX_PAGE } from "@valet/shared/protocol/session-api";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import {
  MAX_EXACT_DAYS,
  MAX_EXACT_TURNS,
  MEASURES,
  OwnerTurns,
  type StatsKey,
  TurnStats,
  TurnStatsQuery,
  TurnsQuery,
} from "@valet/shared/protocol/turn-stats";
import { isFilling } from "../../database/rollup-fill.ts";
import { listSortedTurns, listTurns, type Period, readExactly, type TurnFilter } from "../../database/turn-lists.ts";
import { readRollups, readToolRollups } from "../../database/turn-rollups.ts";
import { badCursor, cursorOf } from "../../durable-objects/core/cursor.ts";
import { isoTime } from "../../durable-objects/core/iso-time.ts";
import { createRoutes } from "../context.ts";
import { decodeCursor } from "../cursor.ts";
import { answer, PROBLEM } from "../openapi.ts";
import { ApiError, problem } from "../problem.ts";

export const ownerTurns = createRoutes();

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The period of statistics without `from`, in days. */
const DEFAULT_DAYS = 7;

ownerTurns.openapi(
  createRoute({
    method: "get",
    operationId: "listOwnerTurns",
    path: "/api/turns",
    summary: "Lists the finished turns of all your sessions, one wide record each",
    description:
      "By default those that ended last come first. The list may lag a moment behind. A page reads a bounded number of turns: it may " +
      "have few or none although others follow, so read on until there is no `nextCursor`.",
    request: { query: TurnsQuery },
    responses: { 200: answer(OwnerTurns, "A page of turns"), default: PROBLEM },
  }),
  async (c) => {
    const { cursor, limit = MAX_PAGE, sort = "time", ...query } = c.req.valid("query");
    const filter = filterOf(query);
    const { DB } = c.env;
    const { ownerId } = c.var;
    if (sort === "time") {
      const [endedAt, attemptId] = cursor === undefined ? [] : decodeCursor(sort, cursor, 2);
      const before = endedAt === undefined || attemptId === undefined ? undefined : { endedAt, attemptId };
      const period = { from: utc(query.from) ?? "", to: utc(query.to) ?? END_OF_TIME };
      // Without `to` the list has no end, and a time that is still to come is one to wait for.
      if (period.from >= period.to) throw refused("from", "must be before `to`");
      const { turns, next } = await listTurns(DB, ownerId, filter, period, limit, before);
      return c.json({ turns, ...(next && { nextCursor: cursorOf(sort, next.endedAt, next.attemptId) }) }, 200);
    }
    // Later pages have the period and the order of the first one.
    const [from, to, value, attemptId] = cursor === undefined ? [] : decodeCursor(sort, cursor, 4);
    const period = from === undefined || to === undefined ? periodOf(query, MAX_EXACT_DAYS) : { from, to };
    if (Number.isNaN(lengthOf(period))) throw notACursor();
    if (lengthOf(period) > MAX_EXACT_DAYS * DAY_MS) {
      throw refused("from", `a sorted list has a period of at most ${MAX_EXACT_DAYS} days`);
    }
    const before = attemptId === undefined ? undefined : { value: Number(value), attemptId };
    if (Number.isNaN(before?.value)) throw notACursor();
    const { turns, isPartial, next } = await listSortedTurns(DB, ownerId, filter, period, sort, limit, before);
    const nextCursor = next && cursorOf(sort, period.from, period.to, String(next.value), next.attemptId);
    const rest = { ...(isPartial && { partial: true as const }), ...(nextCursor !== undefined && { nextCursor }) };
    return c.json({ turns, sorted: period, ...rest }, 200);
  },
);

ownerTurns.openapi(
  createRoute({
    method: "get",
    operationId: "getTurnStats",
    path: "/api/turns/stats",
    summary:
      "Summarizes turns across your sessions: counts, and percentiles of wait, first token, duration, cost and tokens",
    description:
      `Without \`from\` the period is the last ${DEFAULT_DAYS} days. Percentiles come from hourly histograms, within \`error_bound\` of the exact ` +
      `ones; with \`exact=true\`, or where a session or a parent session is asked for, from the turns themselves, within ${MAX_EXACT_DAYS} days and ` +
      `${MAX_EXACT_TURNS} turns. \`source\` says which. Percentiles are nearest ranks.`,
    request: { query: TurnStatsQuery },
    responses: { 200: answer(TurnStats, "The statistics"), default: PROBLEM },
  }),
  async (c) => {
    const { by: named, exact, ...query } = c.req.valid("query");
    const by = (named?.split(",") ?? []) as StatsKey[];
    const filter = filterOf(query);
    const period = periodOf(query, DEFAULT_DAYS);
    // Rollups do not tell sessions apart.
    const isOfSessions =
      filter.sessionId !== undefined ||
      filter.parentSessionId !== undefined ||
      by.includes("session") ||
      by.includes("parent");
    const isShort = lengthOf(period) <= MAX_EXACT_DAYS * DAY_MS;
    const turns =
      (exact !== undefined || isOfSessions) && isShort
        ? await readExactly(c.env.DB, c.var.ownerId, filter, period)
        : undefined;
    if (turns === undefined && isOfSessions) {
      throw refused(
        "from",
        `statistics of sessions read the turns themselves: choose a period of at most ${MAX_EXACT_DAYS} days and ${MAX_EXACT_TURNS} turns`,
      );
    }
    if (turns !== undefined) {
      const facts = turns.map(factsOf);
      const stats = groupTurns(
        by.includes("tool") ? turns.flatMap((turn) => factsByTool(turn, filter.tool)) : facts,
        by,
        facts,
      );
      return c.json({ ...period, source: "turns" as const, error_bound: 0, by, ...viewOf(stats) }, 200);
    }
    const hours = wholeHours(period);
    const { DB } = c.env;
    const { ownerId } = c.var;
    const { tool } = filter;
    const [ofTools, ofAll, isIncomplete] = await Promise.all([
      tool !== undefined || by.includes("tool") ? readToolRollups(DB, ownerId, filter, hours) : NO_ROLLUPS,
      tool === undefined ? readRollups(DB, ownerId, filter, hours) : NO_ROLLUPS,
      isFilling(DB),
    ]);
    if (ofTools === undefined || ofAll === undefined) {
      throw refused("from", "the period has too many rollups: choose a shorter one");
    }
    // A turn is in the rollup of each of its tools, so only those of one tool may be added up.
    const total = tool === undefined ? ofAll : ofTools;
    const stats = groupTurns(by.includes("tool") ? ofTools : total, by, total);
    const source = { source: "rollups" as const, error_bound: ERROR_BOUND };
    const incomplete = isIncomplete ? { incomplete: true as const } : {};
    return c.json({ ...hours, ...source, ...incomplete, by, ...viewOf(stats) }, 200);
  },
);

const NO_ROLLUPS: readonly TurnFacts[] = [];

type Query = Omit<TurnsQuery, "cursor" | "limit" | "sort">;

const START_OF_TIME = "0000-01-01T00:00:00.000Z";
const END_OF_TIME = "9999-12-31T23:59:59.999Z";

function filterOf({ from: _, to: __, repository, ...filter }: Query): TurnFilter {
  return { ...filter, repository: repository && (canonicalRepoUrl(repository) ?? repository) };
}

const utc = (time: string | undefined) => (time === undefined ? undefined : isoWithin(Date.parse(time)));

/** Returns a time as text. Texts of years before 0 and after 9999 have a sign, and would not be in the order of their times. */
function isoWithin(ms: number): string {
  return isoTime(Math.min(Math.max(ms, Date.parse(START_OF_TIME)), Date.parse(END_OF_TIME)));
}

/** Returns the requested period; its end is now by default. @param days its length by default */
function periodOf({ from, to }: Query, days: number, nowMs = Date.now()): Period {
  // A turn that ends in this millisecond is in it.
  const end = utc(to) ?? new Date(nowMs + 1).toISOString();
  const start = utc(from) ?? isoWithin(Date.parse(end) - days * DAY_MS);
  if (start >= end) throw refused("from", "must be before `to`, which is now by default");
  return { from: start, to: end };
}

function lengthOf({ from, to }: Period): number {
  return Date.parse(to) - Date.parse(from);
}

function wholeHours({ from, to }: Period): Period {
  const at = (hours: number) => isoWithin(hours * HOUR_MS);
  return { from: at(Math.floor(Date.parse(from) / HOUR_MS)), to: at(Math.ceil(Date.parse(to) / HOUR_MS)) };
}

function factsOf(record: TurnRecord): TurnFacts {
  return {
    keys: {
      user: record.user_id,
      repository: record.repository,
      branch: record.branch,
      channel: record.channel,
      model: record.model,
      outcome: record.outcome,
      error: firstCause(record),
      session: record.session_id,
      parent: record.parent_session_id,
      tool: null,
      day: record.ended_at.slice(0, 10),
    },
    outcome: record.outcome,
    turns: 1,
    measures: Object.fromEntries(MEASURES.map((name) => [name, record[name]])) as TurnFacts["measures"],
    partial: partialOf(record),
  };
}

/** Returns which figures of a turn are lower bounds, as the rollups count them (migration 0021). */
function partialOf(record: TurnRecord): NonNullable<TurnFacts["partial"]> {
  const { cost_usd, calls_without_cost, tokens_input, tokens_output, calls_without_usage } = record;
  const count = (value: number | null, missing: number | null) => Number(value !== null && (missing ?? 0) > 0);
  return {
    cost_usd: count(cost_usd, calls_without_cost),
    tokens_input: count(tokens_input, calls_without_usage),
    tokens_output: count(tokens_output, calls_without_usage),
  };
}

/** Returns the facts of a turn for each tool that it used. @param only this tool, if it is given */
function factsByTool(record: TurnRecord, only: string | undefined): TurnFacts[] {
  const { keys, ...facts } = factsOf(record);
  const tools = (record.tools ?? []).filter((tool) => only === undefined || tool === only);
  return tools.map((tool) => ({ ...facts, keys: { ...keys, tool } }));
}

function viewOf({ total, groups, leftOut }: ReturnType<typeof groupTurns>) {
  return { total, groups, ...(leftOut > 0 && { groups_left_out: leftOut }) };
}

function refused(path: string, message: string) {
  return problem("invalid-input", { errors: [{ path, message }] });
}

function notACursor() {
  return new ApiError(badCursor().problem);
}
