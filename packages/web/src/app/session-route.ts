/** The route of a session's pages: they share its head, and each is a child of this route. See `pages/session/session-frame.tsx`. */
import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "./root-route.ts";

export const sessionRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sessions/$sessionId",
  component: lazyRouteComponent(() => import("../pages/session/session-frame.tsx")),
});
