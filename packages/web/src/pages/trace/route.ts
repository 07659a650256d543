/** The traces of a session: their list, and each one's waterfall. */
import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { readSkeletonEarly } from "../../api/skeletons.ts";
import { tracesQuery } from "../../api/traces.ts";
import { sessionRoute } from "../../app/session-route.ts";
import { parseTraceSearch } from "./trace-search.ts";

export const tracesRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "traces",
  component: lazyRouteComponent(() => import("./traces-page.tsx")),
});

export const traceRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "traces/$traceId",
  validateSearch: parseTraceSearch,
  loader: ({ params: { sessionId, traceId }, context: { queryClient }, preload }) => {
    // A pointer on a link asks for the code alone.
    if (preload) return;
    readSkeletonEarly(sessionId, traceId);
    void queryClient.prefetchInfiniteQuery(tracesQuery(sessionId));
  },
  staleTime: Number.POSITIVE_INFINITY,
  component: lazyRouteComponent(() => import("./trace-page.tsx")),
});
