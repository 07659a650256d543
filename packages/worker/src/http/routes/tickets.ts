import { createRoute } from "@hono/zod-openapi";
import { CreateTicket, Ticket } from "@valet/shared/protocol/session-api";
import { issueTicket } from "../../auth/tickets.ts";
import { createRoutes } from "../context.ts";
import { requireOwn } from "../middleware.ts";
import { answer, body, PROBLEM } from "../openapi.ts";

export const tickets = createRoutes();

tickets.openapi(
  createRoute({
    method: "post",
    path: "/api/tickets",
    operationId: "createTicket",
    summary: "Issues a ticket that opens one session's WebSocket once, within 30 s",
    request: { body: body(CreateTicket, { sessionId: "ses_0123456789abcdefghijklmnop" }) },
    responses: { 201: answer(Ticket, "The ticket"), default: PROBLEM },
  }),
  async (c) => {
    const { sessionId } = c.req.valid("json");
    const { ownerId } = c.var;
    await requireOwn(c, sessionId);
    return c.json(await issueTicket(c.env.DB, sessionId, ownerId), 201);
  },
);
