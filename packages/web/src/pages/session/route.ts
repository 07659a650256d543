import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { readConversationEarly } from "../../api/conversation-reads.ts";
import { parseSessionSearch } from "../../app/selection.ts";
import { sessionRoute } from "../../app/session-route.ts";

export const sessionIndexRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "/",
  validateSearch: parseSessionSearch,
  loader: ({ params, preload }) => {
    // A pointer on a link asks for the code alone.
    if (!preload) readConversationEarly(params.sessionId);
  },
  staleTime: Number.POSITIVE_INFINITY,
  component: lazyRouteComponent(() => import("./session-page.tsx")),
});
