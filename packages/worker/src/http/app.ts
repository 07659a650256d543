/** The Worker's HTTP app: authentication, routes, and the OpenAPI document. */
import { ClientMessage } from "@valet/shared/protocol/client-socket";
import { MAX_REQUEST_BYTES } from "@valet/shared/protocol/session-api";
import { methodNotAllowed } from "hono/method-not-allowed";
import packageJson from "../../package.json" with { type: "json" };
import { logFailure } from "../log-failure.ts";
import { createRoutes } from "./context.ts";
import { documentWebhooks } from "./document-webhooks.ts";
import {
  limitChanges,
  protectAnswers,
  requireSession,
  requireTicket,
  requireToken,
  requireVariables,
} from "./middleware.ts";
import { nameSchemas, schemaObject } from "./named-schemas.ts";
import { servePage } from "./page.ts";
import { problem, toApiError, toResponse } from "./problem.ts";
import { BODY_TIMEOUT_MS, readBody } from "./request-body.ts";
import { agentRequests } from "./routes/agent-requests.ts";
import { deletion } from "./routes/deletion.ts";
import { diff } from "./routes/diff.ts";
import { health } from "./routes/health.ts";
import { ids } from "./routes/ids.ts";
import { lifecycle } from "./routes/lifecycle.ts";
import { messages } from "./routes/messages.ts";
import { now } from "./routes/now.ts";
import { ownerTurns } from "./routes/owner-turns.ts";
import { pageSessions, pageTickets } from "./routes/page-sessions.ts";
import { resend } from "./routes/resend.ts";
import { sessions } from "./routes/sessions.ts";
import { clientSocket, runnerSocket } from "./routes/sockets.ts";
import { system } from "./routes/system.ts";
import { tickets } from "./routes/tickets.ts";
import { tokens } from "./routes/tokens.ts";
import { traces } from "./routes/traces.ts";
import { turns } from "./routes/turns.ts";
import { webhooks } from "./routes/webhooks.ts";
import { why } from "./routes/why.ts";
import { workflows } from "./routes/workflows.ts";

const DESCRIPTION = `Hosted coding-agent sessions. Bodies of requests are JSON in UTF-8, not compressed, at most ${MAX_REQUEST_BYTES} bytes, and must arrive within
${BODY_TIMEOUT_MS / 1000} s; times are ISO 8601 UTC, durations are milliseconds in fields that end in \`_ms\` or \`Ms\`. Send \`traceparent\` to make the
trace of a message or workflow a part of yours. The answer to every request that changes something has a \`traceresponse\` header
with the ids of the request's span, unless tracing is off. Errors are problem details (RFC 9457); \`type\` tells them apart.`;

/** What the log says about errors with these statuses, instead of "a request failed". `up` recognizes the sentence (worker-lines.ts). */
const WHAT_FAILED: { readonly [status: number]: string | undefined } = {
  507: "a request was refused because the disk or the database is full",
};

export function createApp() {
  const app = createRoutes();
  app.onError((error, c) => {
    const known = toApiError(error, c.req.method);
    if (known.problem.status >= 500) logFailure(WHAT_FAILED[known.problem.status] ?? "a request failed", error);
    return toResponse(known);
  });
  app.notFound(servePage);
  app.use("/api/*", protectAnswers);

  nameSchemas();
  // The frames that a client sends on the WebSocket: no route has them as its body.
  app.openAPIRegistry.registerComponent("schemas", "ClientMessage", schemaObject(ClientMessage));

  documentWebhooks(app.openAPIRegistry);

  // Without authentication.
  app.route("/", health);
  app.get("/api/openapi.json", (c) =>
    c.json(
      app.getOpenAPI31Document({
        openapi: "3.1.0",
        info: { title: "Valet", version: packageJson.version, description: DESCRIPTION },
        servers: [{ url: new URL(c.req.url).origin }],
        security: [{ token: [] }, { pageSession: [] }],
      }),
    ),
  );
  app.openAPIRegistry.registerComponent("securitySchemes", "token", { type: "http", scheme: "bearer" });
  app.openAPIRegistry.registerComponent("securitySchemes", "pageSession", {
    type: "apiKey",
    in: "cookie",
    name: "__Host-valet",
    description: "Set by createPageSession; over http its name is `valet-` with the port",
  });
  app.use("/runner/*", requireVariables);
  app.route("/", runnerSocket);
  app.route("/", pageSessions);

  app.get("/api/sessions/:id/ws", requireTicket);
  app.use("/api/*", requireToken);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (_, methods) => toResponse(problem("method-not-allowed", {}, { allow: methods.join(", ") })),
    }),
  );
  app.use("/api/*", limitChanges, readBody);
  app.post("/api/sessions", requireVariables);
  app.use("/api/sessions/:id/*", requireVariables, requireSession);
  for (const routes of [
    sessions,
    messages,
    workflows,
    lifecycle,
    deletion,
    agentRequests,
    traces,
    turns,
    ownerTurns,
    now,
    ids,
    system,
    diff,
    why,
    webhooks,
    resend,
    tickets,
    tokens,
    pageTickets,
    clientSocket,
  ]) {
    app.route("/", routes);
  }
  return app;
}
