/** A session's pages. They share its head: see `session-frame.tsx`, which also has the tabs that lead to them. */
import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../../app/root-route.ts";
import { parseSessionSearch } from "./session-search.ts";

export const sessionRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sessions/$sessionId",
  component: lazyRouteComponent(() => import("./session-frame.tsx")),
});

export const sessionIndexRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "/",
  validateSearch: parseSessionSearch,
  component: lazyRouteComponent(() => import("./session-page.tsx")),
});
