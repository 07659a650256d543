import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { rootRoute } from "../../app/root-route.ts";

/** `to` is the page that was asked for: its path and search. */
interface SignInSearch {
  readonly to?: string;
}

export const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  validateSearch: ({ to }: Record<string, unknown>): SignInSearch => (typeof to === "string" ? { to } : {}),
  component: lazyRouteComponent(() => import("./sign-in-page.tsx")),
});
