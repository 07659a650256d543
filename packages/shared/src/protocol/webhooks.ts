/**
 * Webhooks: the endpoints of an owner, and what is sent to them, after the Standard Webhooks specification 1.0.0
 * (https://www.standardwebhooks.com).
 */
import { z } from "zod";
import { MAX_WEBHOOK_URL } from "../http/webhook-url.ts";
import { SessionStatus, TurnRecord } from "./session-view.ts";
import { VerdictView } from "./verdict.ts";

/** The events that an endpoint may subscribe to. */
export const WEBHOOK_EVENTS = [
  /** A turn has ended, with any outcome. A message whose attempt was lost and is repeated has several turns. */
  "turn.ended",
  /** A session began to need attention, needs it for another reason, or needs it no more. */
  "session.attention",
  /** The status of a session has changed. */
  "session.state",
] as const;
export const WebhookEventType = z.enum(WEBHOOK_EVENTS);
export type WebhookEventType = z.infer<typeof WebhookEventType>;

/** The most endpoints of an owner. */
export const MAX_WEBHOOKS = 20;
/** For how long deliveries are also signed with the secret before, after a rotation. */
export const ROTATION_MS = 24 * 60 * 60_000;

const time = z.iso.datetime();
const count = z.int().nonnegative();

export const CreateWebhook = z.strictObject({
  url: z.string().min(1).max(MAX_WEBHOOK_URL).describe("Where the events are sent, by https"),
  events: z.array(WebhookEventType).min(1).max(WEBHOOK_EVENTS.length).optional().describe("All events by default"),
});
export type CreateWebhook = z.infer<typeof CreateWebhook>;

export const WebhookView = z.object({
  id: z.string(),
  url: z.string(),
  events: z.array(WebhookEventType),
  /** Whether events are sent. */
  enabled: z.boolean(),
  disabledReason: z
    .enum(["gone", "failing"])
    .nullable()
    .describe("`gone`: it answered 410; `failing`: it has failed for days; null while it is enabled"),
  createdAt: time,
  failing: z
    .object({
      since: time,
      /** When it failed last. */
      at: time,
      /** How many tries have failed since then, with none between them that succeeded. */
      failures: count,
      error: z.string().describe("Why the last try failed: `HTTP 500`, …"),
    })
    .nullable()
    .describe("null unless the last try failed"),
  givenUp: count.describe(
    "How many events were not delivered, since every try of them failed, or since the endpoint was disabled or their session deleted while they waited",
  ),
  previousSecretUntil: time
    .nullable()
    .describe("Until when deliveries are also signed with the secret of before the rotation; null without one"),
});
export type WebhookView = z.infer<typeof WebhookView>;

export const WebhookList = z.object({ webhooks: z.array(WebhookView).describe("Oldest first, at most 20") });
export type WebhookList = z.infer<typeof WebhookList>;

/** An endpoint with its new secret, which is shown only this once. */
export const WebhookWithSecret = WebhookView.extend({
  secret: z
    .string()
    .describe("What signatures are verified with: `whsec_` and 32 bytes in base64. It is not shown again"),
});
export type WebhookWithSecret = z.infer<typeof WebhookWithSecret>;

export const TestedWebhook = z.object({
  delivered: z.boolean().describe("Whether the endpoint answered with 2xx"),
  status: count.nullable().describe("The status of the answer; null without one"),
  error: z.string().nullable().describe("Why it was not delivered; null if it was"),
  duration_ms: z.number().nonnegative(),
});
export type TestedWebhook = z.infer<typeof TestedWebhook>;

/** The session of an event. */
const ofSession = {
  sessionId: z.string(),
  repoUrl: z.string().nullable(),
  branch: z.string().nullable(),
  /** What happened, in one sentence for people. */
  text: z.string(),
};

function event<T extends string, D extends z.ZodRawShape>(type: T, data: D) {
  return z.object({ type: z.literal(type), timestamp: time.describe("When it happened"), data: z.object(data) });
}

/** `text` is the sentence of `why` for the turn's first message, or for its workflow. */
export const TurnEndedEvent = event("turn.ended", {
  ...ofSession,
  turn: TurnRecord.pick({
    attempt_id: true,
    message_ids: true,
    trace_id: true,
    channel: true,
    attempt: true,
    model: true,
    outcome: true,
    error_type: true,
    outcome_reason: true,
    error_cause: true,
    accepted_at: true,
    ended_at: true,
    queue_wait_ms: true,
    turn_ms: true,
    cost_usd: true,
    calls_without_cost: true,
  }),
});

/** `text` is the sentence of the verdict, without what was asked. */
export const SessionAttentionEvent = event("session.attention", {
  ...ofSession,
  attention: VerdictView.omit({ why: true }).nullable().describe("null when the session needs no attention any more"),
});

export const SessionStateEvent = event("session.state", {
  ...ofSession,
  status: SessionStatus,
  previous: SessionStatus.nullable().describe("What was told before; null at first"),
});

/** The event that `test` sends, whatever the endpoint subscribes to. */
export const WebhookTestEvent = event("webhook.test", { text: z.string() });

export const WebhookEvent = z.discriminatedUnion("type", [
  TurnEndedEvent,
  SessionAttentionEvent,
  SessionStateEvent,
  WebhookTestEvent,
]);
export type WebhookEvent = z.infer<typeof WebhookEvent>;
