/** What every request of the API goes through before its route. */
import { SessionId } from "@valet/shared/protocol/session-api";
import { wallClock } from "@valet/shared/tracing";
import { matchedRoutes } from "hono/route";
import { redeemTicket } from "../auth/tickets.ts";
import { bearerToken, ownerOfToken } from "../auth/tokens.ts";
import { stubOf } from "../bindings.ts";
import { ownsSession } from "../database/sessions.ts";
import { workerTracing } from "../worker-tracing.ts";
import type { AppContext, AppMiddleware } from "./context.ts";
import { problem } from "./problem.ts";
import { RequestTrace } from "./request-trace.ts";

/** Reading changes nothing and is not traced. */
const READING = ["GET", "HEAD", "OPTIONS"];
/** Nor is what only moves spans: it would leave another to be moved. */
const MOVING_SPANS = /^\/api\/sessions\/[^/]+\/resend$/;
/** The period that wrangler.jsonc gives the limit of changes. */
const LIMIT_PERIOD_S = 60;

/** Lets in whoever has a ticket for the session's WebSocket; without one the token decides. */
export const requireTicket: AppMiddleware = async (c, next) => {
  const ticket = c.req.query("ticket");
  if (ticket !== undefined) {
    // A ticket is good once: a request that cannot use it does not use it up.
    if (!isUpgrade(c)) throw upgradeRequired();
    const ownerId = await redeemTicket(c.env.DB, ticket, c.req.param("id") ?? "");
    if (ownerId === undefined) throw unauthorized("the ticket is not good, or not any more");
    c.set("ownerId", ownerId);
  }
  await next();
};

/**
 * Lets in whoever has a token, and traces requests that change something. Nobody else is traced: anyone could have spans
 * written to the backend, and could choose the trace.
 */
export const requireToken: AppMiddleware = async (c, next) => {
  if (c.var.ownerId !== undefined) return next();
  const startTime = wallClock();
  const token = bearerToken(c.req.header("authorization"));
  if (token === undefined) throw unauthorized("send `authorization: Bearer` and a token");
  const ownerId = await ownerOfToken(c.env.DB, token);
  if (ownerId === undefined) throw unauthorized("the token is not known");
  c.set("ownerId", ownerId);
  if (READING.includes(c.req.method) || MOVING_SPANS.test(c.req.path)) return next();

  const { method } = c.req;
  const info = { method, route: routeOf(c), url: new URL(c.req.url), headers: c.req.raw.headers, startTime };
  const trace = new RequestTrace(workerTracing(c.env), info);
  c.set("trace", trace);
  await next();
  trace.end(c.res.status);
  c.executionCtx.waitUntil(trace.deliver(c.var.agent));
};

/** Refuses changes of an owner who makes more of them than people and their tools do, where the platform counts them. */
export const limitChanges: AppMiddleware = async (c, next) => {
  if (!READING.includes(c.req.method) && c.env.CHANGES_LIMIT !== undefined) {
    const { success } = await c.env.CHANGES_LIMIT.limit({ key: c.var.ownerId });
    if (!success) throw problem("too-many-requests", {}, { "retry-after": `${LIMIT_PERIOD_S}` });
  }
  await next();
};

/** Finds the session of the path. One of somebody else is as if it were not there; and nothing of an id that nobody made wakes. */
export const requireSession: AppMiddleware = async (c, next) => {
  const id = SessionId.safeParse(c.req.param("id"));
  if (!id.success || !(await ownsSession(c.env.DB, id.data, c.var.ownerId))) throw problem("session-not-found");
  c.set("agent", stubOf(c.env, id.data));
  c.var.trace?.describeSession(id.data);
  await next();
};

export function isUpgrade(c: AppContext): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

export function upgradeRequired() {
  return problem("upgrade-required", {}, { upgrade: "websocket" });
}

function unauthorized(detail: string) {
  return problem("unauthorized", { detail }, { "www-authenticate": "Bearer" });
}

/** The template of the route that will answer, if one will. */
function routeOf(c: AppContext): string | undefined {
  return matchedRoutes(c).findLast(({ method }) => method === c.req.method)?.path;
}
