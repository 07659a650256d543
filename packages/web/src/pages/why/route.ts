import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { sessionRoute } from "../../app/session-route.ts";

/** Why the session's current message or workflow takes its time. When the next begins, the page is about that. */
export const whyLatestRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "/why",
  component: lazyRouteComponent(() => import("./why-page.tsx"), "WhyLatest"),
});

export const whyRoute = createRoute({
  getParentRoute: () => sessionRoute,
  path: "/messages/$messageId/why",
  component: lazyRouteComponent(() => import("./why-page.tsx"), "WhyMessage"),
});
