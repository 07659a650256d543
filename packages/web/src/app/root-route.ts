/** The root of all routes. Pages make their routes with it: see `pages/inbox/route.ts`. */
import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext } from "@tanstack/react-router";
import { PageNotFound } from "./page-states.tsx";
import { Shell } from "./shell.tsx";

export const rootRoute = createRootRouteWithContext<{ readonly queryClient: QueryClient }>()({
  component: Shell,
  notFoundComponent: PageNotFound,
});
