import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../../app/root-route.ts";
import { parseTurnsSearch } from "./turns-search.ts";

export const turnsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/turns",
  validateSearch: parseTurnsSearch,
  component: lazyRouteComponent(() => import("./turns-page.tsx")),
});
