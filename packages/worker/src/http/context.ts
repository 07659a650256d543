/** What the parts of one request share. */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import type { Env } from "../bindings.ts";
import type { CallContext, SessionCalls } from "../durable-objects/contract.ts";
import { invalidInput } from "./problem.ts";
import type { RequestTrace } from "./request-trace.ts";

export interface AppEnv {
  Bindings: Env;
  Variables: {
    /** Whoever the token or ticket belongs to. */
    ownerId: string;
    /** Of requests that change something. */
    trace: RequestTrace | undefined;
    /** The session that the path names, or that the request has made. */
    agent: SessionCalls | undefined;
  };
}
export type AppContext = Context<AppEnv>;
export type AppMiddleware = MiddlewareHandler<AppEnv>;

/** A part of the API: routes that are validated by what documents them. */
export function createRoutes(): OpenAPIHono<AppEnv> {
  return new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidInput(result.error);
    },
  });
}

/** On whose behalf, and within which trace, a session is called. */
export function callContext(c: AppContext): CallContext {
  return { ownerId: c.var.ownerId, ...c.var.trace?.carrier };
}

/** The session of the path, which is the caller's: the check comes before every route that names one. */
export function agentOf(c: AppContext): SessionCalls {
  if (c.var.agent === undefined) throw new Error("the route is not behind the check of its session");
  return c.var.agent;
}
