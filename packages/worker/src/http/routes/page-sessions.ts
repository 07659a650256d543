/** Signing in to the page by a link, and out again. */
import { createRoute } from "@hono/zod-openapi";
import {
  CreatePageSession,
  CSRF_HEADER,
  MAX_PAGE_SESSIONS,
  MAX_PAGE_TICKETS,
  PAGE_SESSION_LIFETIME_MS,
  PAGE_TICKET_LIFETIME_MS,
  PageSession,
  PageTicket,
} from "@valet/shared/protocol/page-sessions";
import { closePageSession, openPageSession } from "../../auth/page-sessions.ts";
import { issuePageTicket } from "../../auth/page-tickets.ts";
import { createRoutes, ownToken } from "../context.ts";
import { limitSignIns, requirePage } from "../middleware.ts";
import { answer, body, PROBLEM } from "../openapi.ts";
import { readPageCookie, removePageCookie, writePageCookie } from "../page-cookie.ts";
import { problem } from "../problem.ts";
import { readBody } from "../request-body.ts";

/** With a token. */
export const pageTickets = createRoutes();

pageTickets.openapi(
  createRoute({
    method: "post",
    path: "/api/page-tickets",
    operationId: "createPageTicket",
    summary: `Issues a ticket that signs a browser in once, within ${PAGE_TICKET_LIFETIME_MS / 60_000} min`,
    description:
      "The link is `/sign-in#ticket=…`. What the browser opens with it has the rights of the token of this request, and ends with it. " +
      `An owner has at most ${MAX_PAGE_TICKETS} open tickets: one more ends the oldest.`,
    responses: { 201: answer(PageTicket, "The ticket"), default: PROBLEM },
  }),
  async (c) => {
    return c.json(await issuePageTicket(c.env.DB, c.var.ownerId, ownToken(c).hash), 201);
  },
);

/** Without a token: the ticket, or the cookie, is what counts. */
export const pageSessions = createRoutes();

const PATH = "/api/page-sessions";
pageSessions.use(PATH, requirePage, limitSignIns, readBody);
pageSessions.use(`${PATH}/current`, requirePage);

const header = `Needs the header \`${CSRF_HEADER}\`, with any value, and refuses requests from other origins (403).`;

pageSessions.openapi(
  createRoute({
    method: "post",
    path: PATH,
    operationId: "createPageSession",
    summary: "Signs a browser in with a ticket: sets a cookie that opens the API as a token does",
    description:
      `${header} The cookie is HttpOnly and SameSite=Strict, lasts ${PAGE_SESSION_LIFETIME_MS / 86_400_000} days, and ends ` +
      `with the token that made the ticket. An owner has at most ${MAX_PAGE_SESSIONS} such sessions: one more ends the oldest.`,
    security: [],
    request: { body: body(CreatePageSession, { ticket: "vlt_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjk" }) },
    responses: { 201: answer(PageSession, "The browser is signed in"), default: PROBLEM },
  }),
  async (c) => {
    const opened = await openPageSession(c.env.DB, c.req.valid("json").ticket);
    if (opened === undefined) {
      throw problem("unauthorized", {
        detail: "the ticket was used, has expired, or its token was revoked; get a new link with `valet open`",
      });
    }
    writePageCookie(c, opened.secret, opened.expiresAt);
    return c.json({ expiresAt: opened.expiresAt }, 201);
  },
);

pageSessions.openapi(
  createRoute({
    method: "delete",
    path: `${PATH}/current`,
    operationId: "closePageSession",
    summary: "Signs the browser out: ends the session of its cookie, and removes the cookie. Idempotent",
    description: `${header} WebSockets that are open stay open.`,
    security: [],
    responses: { 204: { description: "The browser is signed out" }, default: PROBLEM },
  }),
  async (c) => {
    const secret = readPageCookie(c);
    if (secret !== undefined) await closePageSession(c.env.DB, secret);
    removePageCookie(c);
    return c.body(null, 204);
  },
);
