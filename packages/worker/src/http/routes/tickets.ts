import { createRoute } from "@hono/zod-openapi";
import { CreateTicket, Ticket } from "@valet/shared/protocol/session-api";
import { issueTicket } from "../../auth/tickets.ts";
import { createRoutes, ownToken } from "../context.ts";
import { requireOwn } from "../middleware.ts";
import { answer, body, PROBLEM } from "../openapi.ts";

export const tickets = createRoutes();

tickets.openapi(
  createRoute({
    method: "post",
    path: "/api/tickets",
    operationId: "createTicket",
    summary: "Issues a ticket that opens one session's WebSocket once, within 30 s",
    description: "It ends with the token of this request: once that is revoked or has expired, it opens nothing.",
    request: { body: body(CreateTicket, { sessionId: "ses_0123456789abcdefghijklmnop" }) },
    responses: { 201: answer(Ticket, "The ticket"), default: PROBLEM },
  }),
  async (c) => {
    const { sessionId } = c.req.valid("json");
    const { hash } = ownToken(c);
    await requireOwn(c, sessionId);
    return c.json(await issueTicket(c.env.DB, sessionId, hash), 201);
  },
);
