/** The filters, the order and the grouping of the turns, as they stand in the URL. Pure. */
import type { paths } from "../../api/schema.d.ts";

type StatsQuery = NonNullable<paths["/api/turns/stats"]["get"]["parameters"]["query"]>;
type ListQuery = NonNullable<paths["/api/turns"]["get"]["parameters"]["query"]>;

/** What the API filters by, beside the time. */
export const FILTERS = ["user", "repository", "branch", "model", "outcome", "error", "channel", "tool"] as const;
export type Filter = (typeof FILTERS)[number];

/** Periods that end now, with their length in hours. */
export const PERIODS = { hour: 1, day: 24, week: 7 * 24, month: 30 * 24 } as const;
export type PeriodName = keyof typeof PERIODS;

/** What the table can be sorted by: the API's names. */
export const SORTS = ["time", "wait", "first_token", "duration", "cost", "tokens"] as const;
export type Sort = (typeof SORTS)[number];

export const GROUPINGS = [
  "day",
  "model",
  "tool",
  "user",
  "repository",
  "branch",
  "channel",
  "outcome",
  "error",
] as const;
export type Grouping = (typeof GROUPINGS)[number];

/** The measure that is looked at closely. */
export const MEASURES = ["wait", "first_token", "duration", "cost"] as const;
export type MeasureName = (typeof MEASURES)[number];

/** Absent fields do not filter, or have their default. */
export interface TurnsSearch extends Readonly<Partial<Record<Filter, string>>> {
  /** The period up to now, a week by default; it does not count beside `from` and `to`. */
  readonly last?: PeriodName;
  /** Turns that ended at this time or later, ISO 8601. */
  readonly from?: string;
  /** Turns that ended before this time, ISO 8601. */
  readonly to?: string;
  readonly sort?: Sort;
  readonly by?: Grouping;
  readonly of?: MeasureName;
  /** Percentiles of the turns themselves instead of the rollups. */
  readonly exact?: true;
}

const LONGEST = 2_000;

/** Returns what a URL asks for. Whatever else stands there is ignored. */
export function parseTurnsSearch(search: Record<string, unknown>): TurnsSearch {
  const found: Record<string, string | true> = {};
  for (const filter of FILTERS) {
    const text = textOf(search[filter]);
    if (text !== "") found[filter] = text;
  }
  for (const end of ["from", "to"] as const) {
    const time = Date.parse(textOf(search[end]));
    if (!Number.isNaN(time)) found[end] = new Date(time).toISOString();
  }
  const oneOf = (field: string, values: readonly string[], byDefault: string) => {
    const text = textOf(search[field]);
    if (text !== byDefault && values.includes(text)) found[field] = text;
  };
  oneOf("last", Object.keys(PERIODS), "week");
  oneOf("sort", SORTS, "time");
  oneOf("by", GROUPINGS, "");
  oneOf("of", MEASURES, "duration");
  if (search.exact === true || search.exact === "true") found.exact = true;
  return found as TurnsSearch;
}

/** The router reads `?branch=12` as a number, and `?branch=true` as a boolean. */
function textOf(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "string" && value.length <= LONGEST ? value : "";
}

type Asked = Pick<StatsQuery & ListQuery, Filter | "from" | "to">;

/** Returns the API's filters. @param nowMs the server's time, epoch ms: the period up to now is reckoned from it */
export function filtersOf(search: TurnsSearch, nowMs: number): Asked {
  const { from, to, last = "week" } = search;
  const filters = Object.fromEntries(
    FILTERS.flatMap((name) => (search[name] === undefined ? [] : [[name, search[name]]])),
  );
  if (from !== undefined || to !== undefined) {
    return { ...filters, ...(from !== undefined && { from }), ...(to !== undefined && { to }) } as Asked;
  }
  return { ...filters, from: new Date(nowMs - PERIODS[last] * 3_600_000).toISOString() } as Asked;
}

/** Returns what is asked of the API, without the time of now: the same as long as the same turns are meant. */
export function askedOf(search: TurnsSearch): TurnsSearch {
  const { sort: _, by: __, of: ___, exact: ____, ...asked } = search;
  return asked;
}

/** Returns how many filters hold, a chosen period among them. */
export function filterCount(search: TurnsSearch): number {
  const hasPeriod = search.from !== undefined || search.to !== undefined || search.last !== undefined;
  return FILTERS.filter((name) => search[name] !== undefined).length + (hasPeriod ? 1 : 0);
}

/**
 * Returns the search for the turns of a day's group.
 * @param day YYYY-MM-DD, UTC
 * @param start of the period, which may hold only a part of the day
 */
export function searchOfDay(search: TurnsSearch, day: string, start: string): TurnsSearch {
  const { by: _, last: __, ...rest } = search;
  const [firstMs, endMs] = [Date.parse(day), Date.parse(day) + 86_400_000];
  const from = Math.max(firstMs, Date.parse(start));
  const to = search.to === undefined ? endMs : Math.min(endMs, Date.parse(search.to));
  return { ...rest, from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}
