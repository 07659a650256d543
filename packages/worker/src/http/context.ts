/** What the middleware and the route of a request share. */
import { OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import type { Access, KnownToken } from "../auth/tokens.ts";
import type { Env } from "../bindings.ts";
import type { CallContext, SessionCalls } from "../durable-objects/contract.ts";
import type { Result } from "../durable-objects/core/result.ts";
import { invalidInput, invalidQuery, problem, unwrap } from "./problem.ts";
import type { RequestTrace } from "./request-trace.ts";

export interface AppEnv {
  Bindings: Env;
  Variables: {
    /** The owner of the token or ticket. */
    ownerId: string;
    /** Whether the token's requests may name a user. A ticket's may not. */
    speaksForOthers: boolean | undefined;
    /** The token; a request with a ticket has none. */
    token: Access["token"];
    /** The user that the request names. */
    userId: string | undefined;
    /** The session that the path names, with its owner, if it was read with the token. */
    named: Access["session"];
    /** Only for requests that change something. */
    trace: RequestTrace | undefined;
    /** The session that the path names, or that the request created. */
    agent: SessionCalls | undefined;
  };
}
export type AppContext = Context<AppEnv>;
export type AppMiddleware = MiddlewareHandler<AppEnv>;

/** The query of a route that takes none. */
export const NO_QUERY = z.strictObject({});

/** Returns a router whose routes are validated by the same schemas that document them. A route without a query's schema takes none. */
export function createRoutes(): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw (result.target === "query" ? invalidQuery : invalidInput)(result.error);
    },
  });
  const { openapi } = routes;
  routes.openapi = ((route: RouteConfig, ...handlers: Rest<Parameters<typeof openapi>>) =>
    openapi({ ...route, request: { query: NO_QUERY, ...route.request } }, ...handlers)) as typeof openapi;
  return routes;
}

type Rest<T extends readonly unknown[]> = T extends readonly [unknown, ...infer R] ? R : never;

/**
 * Returns the token of the request, or the one behind its cookie.
 * @throws ApiError (401) if it was authenticated by a ticket
 */
export function ownToken(c: AppContext): KnownToken {
  const { token } = c.var;
  if (token === undefined) throw problem("unauthorized", { detail: "A ticket does not open this." });
  return token;
}

/** Returns the caller and the trace context for a call of the session. */
export function callContext(c: AppContext): CallContext {
  const { ownerId, userId = ownerId, trace } = c.var;
  return { ownerId, userId, ...trace?.carrier };
}

/**
 * Makes the request on behalf of the user that it names, if it names one.
 * @throws ApiError (403) if its token does not speak for others
 */
export function speakFor(c: AppContext, { user }: { readonly user?: string | undefined }): void {
  if (user === undefined) return;
  if (c.var.speaksForOthers !== true) {
    throw problem("may-not-speak-for-others", {
      detail: 'Leave out `user`, or use a token that speaks for others (deploy.md, "Tokens").',
    });
  }
  c.set("userId", user);
  c.var.trace?.describe({ "user.id": user });
}

/**
 * Makes a call that changes the session. If the session makes the change, it ends the request's span with it.
 * @param status the status of the answer then
 */
export async function requestChange<T>(
  c: AppContext,
  status: number,
  call: (ctx: CallContext) => Promise<Result<T>>,
): Promise<Result<T>> {
  const { trace } = c.var;
  const request = trace?.toEnd(status);
  const result = await call({ ...callContext(c), ...(request !== undefined && { request }) });
  if (result.ok && result.endsRequest) trace?.handedOver();
  return result;
}

/** Like {@link requestChange}. @throws ApiError if the session refuses */
export async function change<T>(
  c: AppContext,
  status: number,
  call: (ctx: CallContext) => Promise<Result<T>>,
): Promise<T> {
  return unwrap(await requestChange(c, status, call));
}

/** Returns the session of the path. {@link requireSession} has checked that it is the caller's. */
export function agentOf(c: AppContext): SessionCalls {
  if (c.var.agent === undefined) throw new Error("the route lacks the requireSession middleware");
  return c.var.agent;
}
