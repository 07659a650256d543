/** The middleware of every API request. */
import { CSRF_HEADER } from "@valet/shared/protocol/page-sessions";
import { SessionId } from "@valet/shared/protocol/session-api";
import { wallClock } from "@valet/shared/tracing";
import { matchedRoutes } from "hono/route";
import { redeemTicket } from "../auth/tickets.ts";
import { bearerToken, type Credential, readAccess } from "../auth/tokens.ts";
import { type Env, stubOf } from "../bindings.ts";
import { requireConfig } from "../config.ts";
import { findSession, type KnownSession } from "../database/deleted-sessions.ts";
import { isExpired, isUseStale, recordUse } from "../database/tokens.ts";
import { logFailure } from "../log-failure.ts";
import { workerTracing } from "../worker-tracing.ts";
import type { AppContext, AppMiddleware } from "./context.ts";
import { readPageCookie } from "./page-cookie.ts";
import { isFromPage } from "./page-origin.ts";
import { problem } from "./problem.ts";
import { RequestTrace } from "./request-trace.ts";
import { SignInFailures } from "./sign-in-failures.ts";

/** Reads change nothing and are not traced. */
const READING = ["GET", "HEAD", "OPTIONS"];
/** `resend` is not traced either: its span would be another one to send. */
const MOVING_SPANS = /^\/api\/sessions\/[^/]+\/resend$/;
/** The session that a path names. */
const SESSION = /^\/api\/sessions\/([^/]+)/;
/** The period of the rate limits in wrangler.jsonc. */
const LIMIT_PERIOD_S = 60;

/** Keeps the API's answers out of caches and of other origins' pages, and says by which clock they tell times. */
export const protectAnswers: AppMiddleware = async (c, next) => {
  await next();
  // The headers of an accepted WebSocket cannot be changed, and no page reads its answer.
  if (c.res.status === 101) return;
  c.header("cache-control", "no-store");
  c.header("x-content-type-options", "nosniff");
  c.header("cross-origin-resource-policy", "same-origin");
  // The platform's edge adds one. workerd alone, as in `valet up`, adds none.
  c.header("date", new Date().toUTCString());
};

/** Authenticates a request by a ticket for the session's WebSocket; without a ticket, by its token. */
export const requireTicket: AppMiddleware = async (c, next) => {
  const ticket = c.req.query("ticket");
  if (ticket !== undefined) {
    // A ticket can be used once, so a request that is not an upgrade must not use it up.
    if (!isUpgrade(c)) throw upgradeRequired();
    const id = c.req.param("id") ?? "";
    const ownerId = await redeemTicket(c.env.DB, ticket, id);
    if (ownerId === undefined) throw unauthorized("the ticket is invalid or has expired");
    c.set("ownerId", ownerId);
  }
  await next();
};

/** Refuses requests that do not come from Valet's own page. */
export const requirePage: AppMiddleware = async (c, next) => {
  refuseForeign(c);
  await next();
};

function refuseForeign(c: AppContext): void {
  if (isFromPage(c.req.raw)) return;
  throw problem("cross-origin-request", {
    detail: `With the cookie of a browser, send \`${CSRF_HEADER}\` with every change, from Valet's own origin.`,
  });
}

/**
 * Returns what the request authenticates itself with: its token, or else the cookie of a page session.
 * @throws ApiError (401) if it has neither; (403) if a page of another origin uses the cookie
 */
function credentialOf(c: AppContext): Credential {
  const header = c.req.header("authorization");
  const token = bearerToken(header);
  if (token !== undefined) return { kind: "token", secret: token };
  const cookie = header === undefined ? readPageCookie(c) : undefined;
  if (cookie === undefined) throw unauthorized("send `authorization: Bearer` with a token");
  refuseForeign(c);
  return { kind: "page-session", secret: cookie };
}

const UNKNOWN: Readonly<Record<Credential["kind"], string>> = {
  token: "the token is unknown, or was revoked",
  "page-session": "the browser is not signed in any more: its session or the token behind it has ended",
};

/**
 * Authenticates a request by its token or its cookie, and traces requests that change something. Only authenticated requests are
 * traced: otherwise anyone could have spans sent to the backend, in a trace of their choice.
 */
export const requireToken: AppMiddleware = async (c, next) => {
  if (c.var.ownerId !== undefined) return next();
  const startTime = wallClock();
  const credential = credentialOf(c);
  const {
    ownerId,
    token: known,
    speaksForOthers,
    session,
  } = await readAccess(c.env.DB, credential, SESSION.exec(c.req.path)?.[1]);
  if (ownerId === undefined || known === undefined) throw unauthorized(UNKNOWN[credential.kind]);
  if (isExpired(known.expiresAt, Date.now())) throw unauthorized(`the token expired at ${known.expiresAt}`);
  if (isUseStale(known.lastUsedAt, Date.now())) c.executionCtx.waitUntil(noteUse(c, known.hash));
  c.set("token", known);
  c.set("ownerId", ownerId);
  c.set("speaksForOthers", speaksForOthers);
  c.set("named", session);
  if (READING.includes(c.req.method) || MOVING_SPANS.test(c.req.path)) return next();

  const { method } = c.req;
  const info = { method, route: routeOf(c), url: new URL(c.req.url), headers: c.req.raw.headers, startTime };
  const trace = new RequestTrace(workerTracing(c.env), info);
  trace.describe({ "user.id": ownerId });
  c.set("trace", trace);
  await next();
  trace.end(c.res.status);
  const { traceparent } = trace.carrier;
  // The caller learns the ids of the request's span (W3C, Trace Context Level 3, "traceresponse").
  if (traceparent !== undefined) c.header("traceresponse", traceparent);
  c.executionCtx.waitUntil(trace.deliver(c.var.agent));
};

/** Records that a token is used. That this fails, on a full disk for example, concerns no request. */
function noteUse(c: AppContext, hash: string): Promise<void> {
  return recordUse(c.env.DB, hash, Date.now()).catch((error: unknown) => {
    logFailure("the use of a token could not be recorded", error);
  });
}

/** Limits an owner's changes, on platforms with a rate limiter. The limit is above what people and their tools need. */
export const limitChanges: AppMiddleware = async (c, next) => {
  if (!READING.includes(c.req.method) && c.env.CHANGES_LIMIT !== undefined) {
    const { success } = await c.env.CHANGES_LIMIT.limit({ key: c.var.ownerId });
    if (!success) throw problem("too-many-requests", {}, { "retry-after": `${LIMIT_PERIOD_S}` });
  }
  await next();
};

/** The failed attempts that this isolate has seen. */
const signInFailures = new SignInFailures();

/** Limits the attempts to sign in from one address: by the platform's rate limiter, if it has one, and in any case those that fail. */
export const limitSignIns: AppMiddleware = async (c, next) => {
  if (c.req.method !== "POST") return next();
  const address = c.req.header("cf-connecting-ip") ?? "unknown";
  const limited = await c.env.SIGN_INS_LIMIT?.limit({ key: address });
  const waitS = limited?.success === false ? LIMIT_PERIOD_S : signInFailures.waitS(address, Date.now());
  if (waitS !== undefined) {
    const detail = `Too many attempts to sign in have failed. Try again in ${waitS} s.`;
    throw problem("too-many-requests", { detail }, { "retry-after": `${waitS}` });
  }
  await next();
  if (c.res.status === 401) signInFailures.add(address, Date.now());
};

/** The environments whose variables are valid. There is one for the life of an isolate, so that they are parsed once. */
const valid = new WeakSet<Env>();

/**
 * Refuses requests to sessions where the deployment's variables are invalid: the constructor of a session's object would throw, and
 * what it throws does not reach the caller.
 */
export const requireVariables: AppMiddleware = async (c, next) => {
  if (!valid.has(c.env)) requireConfig(c.env);
  valid.add(c.env);
  await next();
};

/**
 * Finds the session of the path. Another owner's session counts as not found. An unknown id and a deleted session wake no object.
 */
export const requireSession: AppMiddleware = async (c, next) => {
  const id = SessionId.safeParse(c.req.param("id"));
  if (!id.success) throw problem("session-not-found");
  await requireOwn(c, id.data);
  c.set("agent", stubOf(c.env, id.data));
  c.var.trace?.describeSession(id.data);
  await next();
};

/**
 * Checks that the caller has such a session. If the path names it, it was read with the token.
 * @throws ApiError `session-not-found`, or `session-deleted`
 */
export async function requireOwn(c: AppContext, id: string): Promise<void> {
  const { ownerId, named } = c.var;
  const known = named?.id === id ? named : await findSession(c.env.DB, id);
  if (known?.ownerId !== ownerId) throw problem("session-not-found");
  refuseDeleted(known);
}

/** @throws ApiError if the session was deleted */
export function refuseDeleted(known: KnownSession | undefined): void {
  const { deletedAt } = known ?? {};
  if (deletedAt !== undefined) throw problem("session-deleted", { detail: `That was at ${deletedAt}.` });
}

export function isUpgrade(c: AppContext): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

export function upgradeRequired() {
  return problem("upgrade-required", {}, { upgrade: "websocket" });
}

function unauthorized(detail: string) {
  return problem("unauthorized", { detail }, { "www-authenticate": "Bearer" });
}

/** Returns the template of the route that will answer, if any. */
function routeOf(c: AppContext): string | undefined {
  return matchedRoutes(c).findLast(({ method }) => method === c.req.method)?.path;
}
