import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { sessionRoute } from "../../app/session-route.ts";
import { parseChangesSearch } from "./changes-search.ts";

export const changesRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "/changes",
  validateSearch: parseChangesSearch,
  component: lazyRouteComponent(() => import("./changes-page.tsx")),
});
