/** Turns across sessions. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok } from "./client.ts";

const HOUR_MS = 60 * 60_000;

/** The turns that ended within the last hour, the newest first, at most a hundred. */
export const lastHourQuery = queryOptions({
  queryKey: ["turns", "last-hour"],
  queryFn: ({ signal }) => {
    const query = { from: new Date(Date.now() - HOUR_MS).toISOString(), limit: 100 };
    return ok(api.GET("/api/turns", { params: { query }, signal }));
  },
  refetchInterval: 15_000,
});

/** What each session's turns of the last seven days cost. */
export const costsQuery = queryOptions({
  queryKey: ["turns", "costs"],
  queryFn: async ({ signal }) => {
    const { groups } = await ok(api.GET("/api/turns/stats", { params: { query: { by: "session" } }, signal }));
    return new Map(groups.map(({ keys, measures, turns }) => [keys.session, { ...measures.cost_usd, turns }]));
  },
  refetchInterval: 60_000,
});
