import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { sessionRoute } from "../../app/session-route.ts";
import { parseSessionSearch } from "./session-search.ts";

export const sessionIndexRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "/",
  validateSearch: parseSessionSearch,
  component: lazyRouteComponent(() => import("./session-page.tsx")),
});
