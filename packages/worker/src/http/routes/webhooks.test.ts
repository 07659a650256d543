import {
  MAX_WEBHOOKS,
  TestedWebhook,
  WebhookEvent,
  WebhookList,
  WebhookView,
  WebhookWithSecret,
} from "@valet/shared/protocol/webhooks";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { call, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { recordFailure } from "../../database/webhooks.ts";
import { CredentialKeys } from "../../durable-objects/credentials/credential-keys.ts";
import { newSecret, sealSecrets } from "../../webhooks/secrets.ts";

const URL_1 = "https://hooks.example.com/valet";
let token: string;

beforeEach(async () => {
  token = await signIn();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function add(body: object = { url: URL_1 }): Promise<WebhookWithSecret> {
  const response = await call("POST", "/api/webhooks", { token, body });
  expect(response.status).toBe(201);
  return WebhookWithSecret.parse(await response.json());
}

async function list(): Promise<WebhookView[]> {
  return WebhookList.parse(await (await call("GET", "/api/webhooks", { token })).json()).webhooks;
}

interface Sent {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly redirect: string | undefined;
}

/** Answers what the Worker sends. @returns what it has sent so far */
function receive(answer: () => Response | Promise<Response>): Sent[] {
  const sent: Sent[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const headers = Object.fromEntries(new Headers(init?.headers));
    sent.push({ url: String(input), headers, body: String(init?.body), redirect: init?.redirect });
    return answer();
  });
  return sent;
}

const testIt = async (id: string) => {
  const response = await call("POST", `/api/webhooks/${id}/test`, { token });
  expect(response.status).toBe(200);
  return TestedWebhook.parse(await response.json());
};

test("an endpoint's secret is shown once, and stored sealed", async () => {
  const { secret, ...view } = await add();
  expect(secret).toMatch(/^whsec_[\w+/]{43}=$/);
  expect(view).toMatchObject({
    url: URL_1,
    events: ["turn.ended", "session.attention", "session.state"],
    enabled: true,
    disabledReason: null,
    failing: null,
    givenUp: 0,
  });
  expect(await list()).toEqual([view]);
  const { results } = await bindings.DB.prepare("SELECT * FROM webhooks WHERE id = ?").bind(view.id).all();
  expect(JSON.stringify(results)).not.toContain(secret.slice("whsec_".length));
});

test("endpoints are their owner's alone", async () => {
  const { id } = await add();
  token = await signIn();
  expect(await list()).toEqual([]);
  for (const [method, path] of [
    ["DELETE", ""],
    ["POST", "/enable"],
    ["POST", "/rotate"],
    ["POST", "/test"],
  ] as const) {
    const response = await call(method, `/api/webhooks/${id}${path}`, { token });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ type: "urn:valet:problem:webhook-not-found" });
  }
});

test("a removed endpoint is gone, and an owner has a limited number", async () => {
  const { id } = await add();
  expect((await call("DELETE", `/api/webhooks/${id}`, { token })).status).toBe(204);
  expect((await call("DELETE", `/api/webhooks/${id}`, { token })).status).toBe(404);
  for (let count = 0; count < MAX_WEBHOOKS; count++) await add();
  const response = await call("POST", "/api/webhooks", { token, body: { url: URL_1 } });
  expect(response.status).toBe(409);
  expect(await response.json()).toMatchObject({ type: "urn:valet:problem:too-many-webhooks" });
});

test.each([
  "http://hooks.example.com/",
  "https://127.0.0.1/",
  "https://2130706433/",
  "https://0x7f.1/",
  "https://[::ffff:10.0.0.1]/",
  "https://localhost./",
  "https://db.internal/",
  "https://printer/",
  "https://user:pass@hooks.example.com/",
  "nonsense",
])("%s is refused at creation", async (url) => {
  const response = await call("POST", "/api/webhooks", { token, body: { url } });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ type: "urn:valet:problem:invalid-input", errors: [{ path: "url" }] });
});

describe("a test", () => {
  test("is signed so that the library verifies it, and follows no redirect", async () => {
    const { id, secret } = await add();
    const sent = receive(() => new Response(null, { status: 204 }));
    expect(await testIt(id)).toMatchObject({ delivered: true, status: 204, error: null });
    const [{ url, headers, body, redirect } = {} as Sent] = sent;
    expect(url).toBe(URL_1);
    expect(redirect).toBe("manual");
    expect(WebhookEvent.parse(new Webhook(secret).verify(body, headers))).toMatchObject({ type: "webhook.test" });
    expect(() => new Webhook(secret).verify(`${body} `, headers)).toThrow("No matching signature");
  });

  test.each([
    [() => new Response("no", { status: 500 }), 500, "HTTP 500"],
    [() => Response.redirect("https://elsewhere.example/", 302), 302, "HTTP 302: redirects are not followed"],
    [() => Promise.reject(new TypeError("reset")), null, "no connection"],
  ])("%s is no delivery, and changes nothing", async (answer, status, error) => {
    const { id } = await add();
    receive(answer);
    expect(await testIt(id)).toMatchObject({ delivered: false, status, error });
    expect((await list())[0]).toMatchObject({ enabled: true, failing: null });
  });
});

test("an endpoint that does not answer is given 15 seconds", async () => {
  const { id } = await add();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(globalThis, "fetch").mockImplementation(
    (_input, init) =>
      new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
        vi.advanceTimersByTime(15_000);
      }),
  );
  expect(await testIt(id)).toMatchObject({ delivered: false, status: null, error: "no answer within 15 s" });
});

test("after a rotation, deliveries verify with the new secret and with the one before", async () => {
  const { id, secret } = await add();
  const response = await call("POST", `/api/webhooks/${id}/rotate`, { token });
  expect(response.status).toBe(200);
  const next = WebhookWithSecret.parse(await response.json());
  expect(next.secret).not.toBe(secret);
  expect(Date.parse(next.previousSecretUntil ?? "")).toBeGreaterThan(Date.now());
  const sent = receive(() => new Response());
  await testIt(id);
  const [{ headers, body } = {} as Sent] = sent;
  for (const each of [secret, next.secret]) new Webhook(each).verify(body, headers);
});

test("an endpoint whose key was removed says so, until its secret is rotated", async () => {
  const { id } = await add();
  const other = await sealSecrets(new CredentialKeys([], "another secret"), id, { current: newSecret() });
  await bindings.DB.prepare("UPDATE webhooks SET secrets = ? WHERE id = ?").bind(other, id).run();
  const sent = receive(() => new Response());
  expect(await testIt(id)).toMatchObject({ delivered: false, error: expect.stringContaining("the key was removed") });
  const { secret } = (await (await call("POST", `/api/webhooks/${id}/rotate`, { token })).json()) as WebhookWithSecret;
  expect(await testIt(id)).toMatchObject({ delivered: true });
  expect(sent).toHaveLength(1);
  const [{ headers, body } = {} as Sent] = sent;
  new Webhook(secret).verify(body, headers);
});

test("a disabled endpoint is shown with its reason, and can be enabled", async () => {
  const { id } = await add();
  const failed = { error: "HTTP 410", atMs: Date.now(), isGone: true, isLast: true };
  await recordFailure(bindings.DB, id, failed);
  expect((await list())[0]).toMatchObject({
    enabled: false,
    disabledReason: "gone",
    failing: { failures: 1, error: "HTTP 410" },
    givenUp: 1,
  });
  const response = await call("POST", `/api/webhooks/${id}/enable`, { token });
  expect(WebhookView.parse(await response.json())).toMatchObject({
    enabled: true,
    disabledReason: null,
    failing: null,
  });
});

test("an endpoint that fails for days, at least ten times, is disabled", async () => {
  const { id } = await add();
  const startMs = Date.now();
  const fail = (hours: number) =>
    recordFailure(bindings.DB, id, {
      error: "HTTP 500",
      atMs: startMs + hours * 3_600_000,
      isGone: false,
      isLast: false,
    });
  for (let hour = 0; hour < 11; hour++) await fail(hour);
  expect((await list())[0]).toMatchObject({ enabled: true, failing: { failures: 11 } });
  await fail(72);
  expect((await list())[0]).toMatchObject({ enabled: false, disabledReason: "failing" });
});

test("the API's document describes the events", async () => {
  const document = (await (await call("GET", "/api/openapi.json")).json()) as { webhooks: Record<string, unknown> };
  expect(Object.keys(document.webhooks)).toEqual(["turn.ended", "session.attention", "session.state", "webhook.test"]);
});
