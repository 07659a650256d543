/** All pages. A page that does not work yet is not here. */
import type { QueryClient } from "@tanstack/react-query";
import { createRouter } from "@tanstack/react-router";
import { changesRoute } from "../pages/changes/route.ts";
import { inboxRoute } from "../pages/inbox/route.ts";
import { sessionIndexRoute } from "../pages/session/route.ts";
import { signInRoute } from "../pages/sign-in/route.ts";
import { traceRoute, tracesRoute } from "../pages/trace/route.ts";
import { turnsRoute } from "../pages/turns/route.ts";
import { whyLatestRoute, whyRoute } from "../pages/why/route.ts";
import { PageError, PageLoading } from "./page-states.tsx";
import { rootRoute } from "./root-route.ts";
import { parseSearch, stringifySearch } from "./search-params.ts";
import { sessionRoute } from "./session-route.ts";

const routeTree = rootRoute.addChildren([
  inboxRoute,
  signInRoute,
  turnsRoute,
  sessionRoute.addChildren([sessionIndexRoute, tracesRoute, traceRoute, changesRoute, whyLatestRoute, whyRoute]),
]);

export function createAppRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree,
    context: { queryClient },
    parseSearch,
    stringifySearch,
    defaultErrorComponent: PageError,
    defaultPendingComponent: PageLoading,
    defaultPendingMs: 150,
    // A page's code is loaded when a pointer or the focus reaches a link to it.
    defaultPreload: "intent",
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
