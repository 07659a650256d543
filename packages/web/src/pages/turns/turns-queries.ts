/** What the page asks of the API. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, ok } from "../../api/client.ts";
import { serverNow } from "../../api/server-clock.ts";
import { askedOf, filtersOf, type Grouping, type TurnsSearch } from "./turns-search.ts";

const PAGE = 100;
const EVERY_MS = 30_000;
/** With more pages than these the list is not read again by itself: each reading asks for all of them. */
const MAX_REREAD_PAGES = 3;

export function turnsQuery(search: TurnsSearch) {
  const { sort = "time" } = search;
  return infiniteQueryOptions({
    queryKey: ["turns", "list", askedOf(search), sort],
    queryFn: ({ pageParam, signal }) => {
      const query = {
        ...filtersOf(search, serverNow()),
        sort,
        limit: PAGE,
        ...(pageParam !== "" && { cursor: pageParam }),
      };
      return ok(api.GET("/api/turns", { params: { query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: ({ nextCursor }) => nextCursor,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) <= MAX_REREAD_PAGES ? EVERY_MS : false),
  });
}

/** @param by what to group by; nothing if omitted */
export function statsQuery(search: TurnsSearch, by?: Grouping) {
  const exact = search.exact === true;
  return queryOptions({
    queryKey: ["turns", "stats", askedOf(search), by ?? "", exact],
    queryFn: ({ signal }) => {
      const query = {
        ...filtersOf(search, serverNow()),
        ...(by !== undefined && { by }),
        ...(exact && { exact: "true" as const }),
      };
      return ok(api.GET("/api/turns/stats", { params: { query }, signal }));
    },
    refetchInterval: EVERY_MS,
    placeholderData: keepPreviousData,
  });
}
