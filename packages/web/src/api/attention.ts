/** Which sessions need somebody. */
import { queryOptions } from "@tanstack/react-query";
import { api, ok } from "./client.ts";
import { nextRead } from "./problem.ts";

/** How often the list is read while the page is shown, ms. A session reports a change within seconds. */
const EVERY_MS = 3_000;
/** As many as the API gives at once. More than this needs no list, but help. */
const LIMIT = 100;

export const attentionQuery = queryOptions({
  queryKey: ["attention"],
  queryFn: ({ signal }) => ok(api.GET("/api/attention", { params: { query: { limit: LIMIT } }, signal })),
  refetchInterval: ({ state }) => nextRead(EVERY_MS, state.error),
});
