/** The traces of a session: their list, and each one's waterfall. */
import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
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
  component: lazyRouteComponent(() => import("./trace-page.tsx")),
});
