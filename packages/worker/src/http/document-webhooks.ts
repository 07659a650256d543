/** The events that Valet sends to endpoints, as the section `webhooks` of the OpenAPI document. */
import type { OpenAPIRegistry } from "@asteasolutions/zod-to-openapi";
import {
  SessionAttentionEvent,
  SessionStateEvent,
  TurnEndedEvent,
  WebhookTestEvent,
} from "@valet/shared/protocol/webhooks";
import { z } from "zod";

const EVENTS = [
  [TurnEndedEvent, "A turn has ended, with any outcome"],
  [SessionAttentionEvent, "A session needs attention, needs it for another reason, or needs it no more"],
  [SessionStateEvent, "The status of a session has changed"],
  [WebhookTestEvent, "Somebody tests the endpoint"],
] as const;

/** The headers of Standard Webhooks. */
const HEADERS = z.object({
  "webhook-id": z.string().describe("Of the event: the same for each try, so that a repeated one can be recognized"),
  "webhook-timestamp": z.string().describe("When this try was sent, in seconds since 1970"),
  "webhook-signature": z
    .string()
    .describe(
      "`v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in base64; two with a space between them during a rotation",
    ),
});

const DESCRIPTION =
  "Standard Webhooks 1.0.0. Events of one session reach an endpoint in order, one at a time. Any 2xx within 15 s takes the event; " +
  "410 disables the endpoint; anything else is retried. No event holds content of the conversation.";

export function documentWebhooks(registry: OpenAPIRegistry): void {
  for (const [schema, summary] of EVENTS) {
    registry.registerWebhook({
      method: "post",
      path: schema.shape.type.value,
      summary,
      description: DESCRIPTION,
      security: [],
      request: { headers: HEADERS, body: { required: true, content: { "application/json": { schema } } } },
      responses: { 204: { description: "The event is taken; so it is by any 2xx" } },
    });
  }
}
