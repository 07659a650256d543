import { createRoute } from "@hono/zod-openapi";
import { refuseWebhookUrl } from "@valet/shared/http/webhook-url";
import {
  CreateWebhook,
  MAX_WEBHOOKS,
  ROTATION_MS,
  TestedWebhook,
  WEBHOOK_EVENTS,
  WebhookList,
  WebhookTestEvent,
  WebhookView,
  WebhookWithSecret,
} from "@valet/shared/protocol/webhooks";
import { z } from "zod";
import type { Env } from "../../bindings.ts";
import { allowsPrivateHosts, parseConfig } from "../../config.ts";
import {
  addWebhook,
  enableWebhook,
  findWebhook,
  listWebhooks,
  removeWebhook,
  replaceSecrets,
  type StoredWebhook,
} from "../../database/webhooks.ts";
import { newId } from "../../durable-objects/core/ids.ts";
import { CredentialKeys } from "../../durable-objects/credentials/credential-keys.ts";
import { failureOf, post } from "../../webhooks/post.ts";
import {
  KEY_REMOVED,
  newSecret,
  openSecrets,
  rotated,
  sealSecrets,
  secretsAt,
  type WebhookKeys,
} from "../../webhooks/secrets.ts";
import { type AppContext, createRoutes } from "../context.ts";
import { answer, body, PROBLEM } from "../openapi.ts";
import { problem } from "../problem.ts";

export const webhooks = createRoutes();

const PATH = "/api/webhooks/{webhookId}";
const Params = z.object({ webhookId: z.string().max(100) });

function keysOf(env: Env): WebhookKeys {
  const { credentialKeys, broker } = parseConfig(env);
  return new CredentialKeys(credentialKeys, broker.secret);
}

/** @throws ApiError if the owner has no such endpoint */
async function requireWebhook(c: AppContext, id: string): Promise<StoredWebhook> {
  const found = await findWebhook(c.env.DB, c.var.ownerId, id, Date.now());
  if (found === undefined) throw problem("webhook-not-found");
  return found;
}

webhooks.openapi(
  createRoute({
    method: "post",
    path: "/api/webhooks",
    operationId: "createWebhook",
    summary: "Adds an endpoint to which events of your sessions are sent",
    description:
      "Events are sent as Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature` headers, verified with the " +
      "secret of this answer, which is not shown again. An answer other than 2xx within 15 s is retried for most of a day. The URL " +
      "must be https and public.",
    request: { body: body(CreateWebhook, { url: "https://hooks.example.com/valet", events: ["session.attention"] }) },
    responses: { 201: answer(WebhookWithSecret, "The endpoint, with its secret"), default: PROBLEM },
  }),
  async (c) => {
    const { url, events = WEBHOOK_EVENTS } = c.req.valid("json");
    const refusal = refuseWebhookUrl(url, allowsPrivateHosts(c.env));
    if (refusal !== undefined) throw problem("invalid-input", { errors: [{ path: "url", message: refusal }] });
    const [id, secret, createdAt] = [newId("wh"), newSecret(), new Date().toISOString()];
    const { ownerId } = c.var;
    const secrets = await sealSecrets(keysOf(c.env), id, { current: secret });
    const unique = WEBHOOK_EVENTS.filter((event) => events.includes(event));
    const isAdded = await addWebhook(
      c.env.DB,
      { id, ownerId, url: new URL(url).href, events: unique, secrets, createdAt },
      MAX_WEBHOOKS,
    );
    if (!isAdded) throw problem("too-many-webhooks", { detail: `At most ${MAX_WEBHOOKS}; remove one first.` });
    const { view } = await requireWebhook(c, id);
    return c.json({ ...view, secret }, 201);
  },
);

webhooks.openapi(
  createRoute({
    method: "get",
    path: "/api/webhooks",
    operationId: "listWebhooks",
    summary: "Lists your endpoints, and how deliveries to them go",
    responses: { 200: answer(WebhookList, "All endpoints, oldest first"), default: PROBLEM },
  }),
  async (c) => c.json({ webhooks: await listWebhooks(c.env.DB, c.var.ownerId, Date.now()) }, 200),
);

webhooks.openapi(
  createRoute({
    method: "delete",
    path: PATH,
    operationId: "deleteWebhook",
    summary: "Removes an endpoint, with what waits for it",
    request: { params: Params },
    responses: { 204: { description: "It is removed. A delivery that had begun may still arrive" }, default: PROBLEM },
  }),
  async (c) => {
    const isRemoved = await removeWebhook(c.env.DB, c.var.ownerId, c.req.valid("param").webhookId);
    if (!isRemoved) throw problem("webhook-not-found");
    return c.body(null, 204);
  },
);

webhooks.openapi(
  createRoute({
    method: "post",
    path: `${PATH}/enable`,
    operationId: "enableWebhook",
    summary: "Enables an endpoint that was disabled, since it failed for days or answered 410",
    description: "Idempotent. Events from then on are sent; what waited when it was disabled is not.",
    request: { params: Params },
    responses: { 200: answer(WebhookView, "The endpoint"), default: PROBLEM },
  }),
  async (c) => {
    const id = c.req.valid("param").webhookId;
    await enableWebhook(c.env.DB, c.var.ownerId, id);
    return c.json((await requireWebhook(c, id)).view, 200);
  },
);

webhooks.openapi(
  createRoute({
    method: "post",
    path: `${PATH}/rotate`,
    operationId: "rotateWebhookSecret",
    summary: "Gives an endpoint a new secret",
    description: `For ${ROTATION_MS / 3_600_000} hours deliveries are signed with the secret of before, too: \`webhook-signature\` has both signatures.`,
    request: { params: Params },
    responses: { 200: answer(WebhookWithSecret, "The endpoint, with its new secret"), default: PROBLEM },
  }),
  async (c) => {
    const { webhookId: id } = c.req.valid("param");
    const { secrets: stored } = await requireWebhook(c, id);
    const keys = keysOf(c.env);
    const opened = await openSecrets(keys, id, stored);
    const [secret, nowMs] = [newSecret(), Date.now()];
    const next = await sealSecrets(keys, id, rotated(opened?.secrets, secret, nowMs));
    const until = new Date(nowMs + ROTATION_MS).toISOString();
    const isReplaced = await replaceSecrets(c.env.DB, id, stored, next, until);
    // Somebody else has rotated it, or sealed it again, at the same time.
    if (!isReplaced) throw problem("unavailable", { detail: "Try again." }, { "retry-after": "1" });
    return c.json({ ...(await requireWebhook(c, id)).view, secret }, 200);
  },
);

webhooks.openapi(
  createRoute({
    method: "post",
    path: `${PATH}/test`,
    operationId: "testWebhook",
    summary: "Sends an event of the type `webhook.test` now, once, and says what the endpoint answered",
    description:
      "Disabled endpoints are tested, too. The result changes neither whether it is enabled nor what is shown of it.",
    request: { params: Params },
    responses: { 200: answer(TestedWebhook, "The result, whether or not it was delivered"), default: PROBLEM },
  }),
  async (c) => {
    const { webhookId: id } = c.req.valid("param");
    const { view, secrets: stored } = await requireWebhook(c, id);
    const opened = await openSecrets(keysOf(c.env), id, stored);
    const nowMs = Date.now();
    const event = WebhookTestEvent.parse({
      type: "webhook.test",
      timestamp: new Date(nowMs).toISOString(),
      data: { text: "A test of this endpoint. Nothing has happened." },
    });
    const posting = { url: view.url, id: newId("evt"), body: JSON.stringify(event), nowMs };
    const secrets = opened && secretsAt(opened.secrets, nowMs);
    const posted = secrets === undefined ? { error: KEY_REMOVED } : await post(c.env, { ...posting, secrets });
    const error = failureOf(posted) ?? null;
    const status = "status" in posted ? posted.status : null;
    return c.json({ delivered: error === null, status, error, duration_ms: Date.now() - nowMs }, 200);
  },
);
