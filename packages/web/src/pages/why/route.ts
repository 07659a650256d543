import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { sessionRoute } from "../../app/session-route.ts";

/** Why the message or workflow that runs, or the last one, took its time; it follows newer ones. */
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
