/** The route of a session's pages: they share its head, and each is a child of this route. See `pages/session/session-frame.tsx`. */
import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { nowQuery, sessionQuery } from "../api/sessions.ts";
import { rootRoute } from "./root-route.ts";

export const sessionRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sessions/$sessionId",
  loader: ({ params: { sessionId }, context: { queryClient }, preload }) => {
    // A pointer on a link asks for the code alone.
    if (preload) return;
    void queryClient.prefetchQuery(sessionQuery(sessionId));
    void queryClient.prefetchQuery(nowQuery(sessionId));
  },
  staleTime: Number.POSITIVE_INFINITY,
  component: lazyRouteComponent(() => import("../pages/session/session-frame.tsx")),
});
