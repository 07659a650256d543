import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../../app/root-route.ts";
import { parseInboxSearch } from "./inbox-search.ts";

export const inboxRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  validateSearch: parseInboxSearch,
  component: lazyRouteComponent(() => import("./inbox-page.tsx")),
});
