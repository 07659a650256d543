/** Signing in to the page: a ticket becomes a cookie with the rights of its token, once, and ends with that token. */
import { createExecutionContext } from "cloudflare:test";
import {
  CSRF_HEADER,
  MAX_PAGE_SESSIONS,
  MAX_PAGE_TICKETS,
  PageSession,
  PageTicket,
} from "@valet/shared/protocol/page-sessions";
import type { TokenList } from "@valet/shared/protocol/tokens";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { call, createSession, ORIGIN, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { hashToken } from "../../durable-objects/core/ids.ts";
import { createApp } from "../app.ts";
import { MAX_FAILURES } from "../sign-in-failures.ts";

const CSRF = { [CSRF_HEADER]: "1" };
const NAME = "__Host-valet";

async function newTicket(token: string): Promise<string> {
  const response = await call("POST", "/api/page-tickets", { token });
  expect(response.status).toBe(201);
  return PageTicket.parse(await response.json()).ticket;
}

const redeem = (ticket: string, headers: Record<string, string> = {}) =>
  call("POST", "/api/page-sessions", { body: { ticket }, headers: { ...CSRF, ...headers } });

/** Returns the `cookie` header of a signed-in browser. */
async function browserOf(token: string): Promise<{ cookie: string }> {
  const response = await redeem(await newTicket(token));
  expect(response.status).toBe(201);
  return cookieIn(response);
}

function cookieIn(response: Response): { cookie: string } {
  return { cookie: response.headers.get("set-cookie")?.split(";")[0] ?? "" };
}

const statusOf = async (headers: Record<string, string>) => (await call("GET", "/api/sessions", { headers })).status;
const refusalOf = async (response: Response) => {
  const { status, type } = await response.json<{ status: number; type: string }>();
  return [status, type.replace("urn:valet:problem:", "")];
};
const FOREIGN = [403, "cross-origin-request"];

describe("a ticket", () => {
  test("signs a browser in, with a cookie that no script reads and no other site sends", async () => {
    const response = await redeem(await newTicket(await signIn()));
    expect(response.status).toBe(201);
    const { expiresAt } = PageSession.parse(await response.json());
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now() + 13 * 86_400_000);
    const [pair, ...attributes] = (response.headers.get("set-cookie") ?? "").split("; ");
    expect(pair).toMatch(/^__Host-valet=vlt_\w{52}$/);
    expect(attributes.filter((each) => !each.startsWith("Expires="))).toEqual([
      "Path=/",
      "HttpOnly",
      "Secure",
      "SameSite=Strict",
    ]);
    expect(Date.parse(attributes.find((each) => each.startsWith("Expires="))?.slice(8) ?? "")).toBe(
      Math.floor(Date.parse(expiresAt) / 1000) * 1000,
    );
    expect(await statusOf(cookieIn(response))).toBe(200);
  });

  test("signs in once, also of two requests at the same time", async () => {
    const ticket = await newTicket(await signIn());
    const both = await Promise.all([redeem(ticket), redeem(ticket)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual([201, 401]);
    const third = await redeem(ticket);
    expect(third.headers.get("set-cookie")).toBeNull();
    expect(await refusalOf(third)).toEqual([401, "unauthorized"]);
  });

  test.each(["nonsense", "vlt_0", "' OR 1=1 --", ""])("that was never issued signs nobody in: %j", async (ticket) => {
    expect((await redeem(ticket)).status).toBeOneOf([400, 401]);
  });

  test("that has expired signs nobody in", async () => {
    const ticket = await newTicket(await signIn());
    await bindings.DB.prepare("UPDATE page_tickets SET expires_at = ? WHERE hash = ?")
      .bind(new Date(Date.now() - 1).toISOString(), hashToken(ticket))
      .run();
    expect((await redeem(ticket)).status).toBe(401);
  });

  test("of a token that was revoked or has expired signs nobody in", async () => {
    const token = await signIn();
    const [first, second] = [await newTicket(token), await newTicket(token)];
    await bindings.DB.prepare("UPDATE tokens SET expires_at = ? WHERE hash = ?")
      .bind(new Date(Date.now() - 1).toISOString(), hashToken(token))
      .run();
    expect((await redeem(first)).status).toBe(401);
    await bindings.DB.prepare("DELETE FROM tokens WHERE hash = ?").bind(hashToken(token)).run();
    expect((await redeem(second)).status).toBe(401);
  });

  test("is not redeemed for a page of another origin, which would sign people in as somebody else", async () => {
    const ticket = await newTicket(await signIn());
    const foreign = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    expect(await refusalOf(await redeem(ticket, foreign))).toEqual(FOREIGN);
    expect(await refusalOf(await call("POST", "/api/page-sessions", { body: { ticket } }))).toEqual(FOREIGN);
    expect((await redeem(ticket)).status).toBe(201);
  });

  test("opens nothing else", async () => {
    const ticket = await newTicket(await signIn());
    expect(await statusOf({ authorization: `Bearer ${ticket}` })).toBe(401);
    expect(await statusOf({ cookie: `${NAME}=${ticket}` })).toBe(401);
  });

  test("and a page session are stored as hashes", async () => {
    const token = await signIn();
    const ticket = await newTicket(token);
    const { cookie } = await browserOf(token);
    const tables = ["page_tickets", "page_sessions"].map((table) => bindings.DB.prepare(`SELECT * FROM ${table}`));
    const rows = JSON.stringify(await bindings.DB.batch(tables));
    expect(rows).toContain(hashToken(ticket));
    expect(rows).not.toContain(ticket);
    expect(rows).not.toContain(cookie.slice(NAME.length + 1));
  });
});

describe("a signed-in browser", () => {
  test("reads and changes what its owner's token can, and nothing of another owner", async () => {
    const token = await signIn();
    const browser = await browserOf(token);
    const created = await call("POST", "/api/sessions", { body: {}, headers: { ...browser, ...CSRF } });
    expect(created.status).toBe(201);
    const { id } = await created.json<{ id: string }>();
    expect((await call("GET", `/api/sessions/${id}`, { token })).status).toBe(200);
    const others = await createSession(await signIn());
    const response = await call("GET", `/api/sessions/${others.id}`, { headers: browser });
    expect(await refusalOf(response)).toEqual([404, "session-not-found"]);
    const { tokens } = await (await call("GET", "/api/tokens", { headers: browser })).json<TokenList>();
    expect(tokens).toMatchObject([{ isCurrent: true }]);
  });

  test("changes nothing without the header, or for another origin", async () => {
    const browser = await browserOf(await signIn());
    const attempts: Record<string, string>[] = [
      {},
      { origin: ORIGIN },
      { ...CSRF, origin: "http://valet.test" },
      { ...CSRF, origin: "https://valet.test:8443" },
      { ...CSRF, "sec-fetch-site": "same-site" },
    ];
    for (const headers of attempts) {
      const response = await call("POST", "/api/sessions", { body: {}, headers: { ...browser, ...headers } });
      expect(await refusalOf(response)).toEqual(FOREIGN);
    }
    expect(await (await call("GET", "/api/sessions", { headers: browser })).json()).toEqual({ sessions: [] });
    expect(await statusOf({ ...browser, "sec-fetch-site": "same-site" })).toBe(403);
  });

  test("needs no header with a token, which no browser adds by itself", async () => {
    const [browser, token] = [await browserOf(await signIn()), await signIn()];
    expect((await call("POST", "/api/sessions", { token, body: {}, headers: browser })).status).toBe(201);
    // A header that is no token does not fall back to the cookie.
    expect(await statusOf({ ...browser, authorization: "Basic eDp5" })).toBe(401);
  });

  test("opens a session's WebSocket from its own origin only", async () => {
    const token = await signIn();
    const [browser, { id }] = [await browserOf(token), await createSession(token)];
    const open = (headers: Record<string, string>) =>
      call("GET", `/api/sessions/${id}/ws`, { headers: { ...browser, upgrade: "websocket", ...headers } });
    const own = await open({ origin: ORIGIN });
    expect(own.status).toBe(101);
    own.webSocket?.accept();
    own.webSocket?.close();
    for (const headers of [{}, { origin: "https://evil.example" }, { origin: "https://valet.test:8443" }] as const) {
      expect(await refusalOf(await open({ ...headers }))).toEqual(FOREIGN);
    }
  });

  test("is signed out with its token: revoked, or expired", async () => {
    const token = await signIn();
    const [browser, other] = [await browserOf(token), await browserOf(token)];
    await bindings.DB.prepare("UPDATE tokens SET expires_at = ? WHERE hash = ?")
      .bind(new Date(Date.now() - 1).toISOString(), hashToken(token))
      .run();
    expect(await statusOf(browser)).toBe(401);
    await bindings.DB.prepare("UPDATE tokens SET expires_at = NULL WHERE hash = ?").bind(hashToken(token)).run();
    const { tokens } = await (await call("GET", "/api/tokens", { headers: other })).json<TokenList>();
    const path = `/api/tokens/${tokens[0]?.id}`;
    expect((await call("DELETE", path, { headers: { ...other, ...CSRF } })).status).toBe(204);
    for (const each of [browser, other]) expect(await statusOf(each)).toBe(401);
    const left = bindings.DB.prepare("SELECT COUNT(*) AS n FROM page_sessions WHERE token_hash = ?");
    expect(await left.bind(hashToken(token)).first("n")).toBe(0);
  });

  test("is signed out after its time, and not later than its token", async () => {
    const token = await signIn();
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    await bindings.DB.prepare("UPDATE tokens SET expires_at = ? WHERE hash = ?")
      .bind(expiresAt, hashToken(token))
      .run();
    const response = await redeem(await newTicket(token));
    expect(await response.clone().json()).toEqual({ expiresAt });
    const browser = cookieIn(response);
    await bindings.DB.prepare("UPDATE page_sessions SET expires_at = ? WHERE token_hash = ?")
      .bind(new Date(Date.now() - 1).toISOString(), hashToken(token))
      .run();
    expect(await statusOf(browser)).toBe(401);
  });

  test("signs out: its cookie is refused from then on; signing out is idempotent, and impossible for a page of another origin", async () => {
    const token = await signIn();
    const [browser, other] = [await browserOf(token), await browserOf(token)];
    const out = (headers: Record<string, string>) => call("DELETE", "/api/page-sessions/current", { headers });
    expect(await refusalOf(await out(browser))).toEqual(FOREIGN);
    expect(await statusOf(browser)).toBe(200);
    for (const headers of [browser, browser, {}]) {
      const response = await out({ ...headers, ...CSRF });
      expect(response.status).toBe(204);
      expect(response.headers.get("set-cookie")).toMatch(/^__Host-valet=; Max-Age=0; Path=\/;/);
    }
    expect(await statusOf(browser)).toBe(401);
    expect(await statusOf(other)).toBe(200);
  });
});

describe("there is a limit", () => {
  const count = (table: string, owner: string) =>
    bindings.DB.prepare(`SELECT COUNT(*) AS n FROM ${table} WHERE owner_id = ?`).bind(owner).first<number>("n");

  test("of an owner's open tickets: the oldest ends", async () => {
    const owner = crypto.randomUUID();
    const token = await signIn(owner);
    const tickets: string[] = [];
    for (let i = 0; i <= MAX_PAGE_TICKETS; i++) {
      tickets.push(await newTicket(token));
      // Each has a time of its own.
      await bindings.DB.prepare("UPDATE page_tickets SET expires_at = ? WHERE hash = ?")
        .bind(new Date(Date.now() + 60_000 + i).toISOString(), hashToken(tickets[i] as string))
        .run();
    }
    expect(await count("page_tickets", owner)).toBe(MAX_PAGE_TICKETS);
    expect((await redeem(tickets[0] as string)).status).toBe(401);
    expect((await redeem(tickets[1] as string)).status).toBe(201);
  });

  test("of an owner's page sessions: the newest stays", async () => {
    const owner = crypto.randomUUID();
    const token = await signIn(owner);
    const later = new Date(Date.now() + 30 * 86_400_000).toISOString();
    const row = bindings.DB.prepare("INSERT INTO page_sessions VALUES (?, ?, ?, ?)");
    await bindings.DB.batch(
      Array.from({ length: MAX_PAGE_SESSIONS }, (_, i) => row.bind(`${owner}-${i}`, owner, hashToken(token), later)),
    );
    const browser = await browserOf(token);
    expect(await count("page_sessions", owner)).toBe(MAX_PAGE_SESSIONS);
    expect(await statusOf(browser)).toBe(200);
  });

  test("of attempts to sign in from an address, where the platform has a rate limiter", async () => {
    const keys: string[] = [];
    const SIGN_INS_LIMIT = { limit: async ({ key }: { key: string }) => ({ success: keys.push(key) > 1 }) };
    const attempt = () =>
      createApp().fetch(
        new Request(`${ORIGIN}/api/page-sessions`, {
          method: "POST",
          headers: { ...CSRF, "content-type": "application/json", "cf-connecting-ip": "192.0.2.1" },
          body: JSON.stringify({ ticket: "vlt_unknown" }),
        }),
        { ...bindings, SIGN_INS_LIMIT },
        createExecutionContext(),
      );
    await signIn();
    const refused = await attempt();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "60"]);
    expect((await attempt()).status).toBe(401);
    expect(keys).toEqual(["192.0.2.1", "192.0.2.1"]);
  });

  test("of attempts that fail, from an address, on any platform: a valid ticket waits, too", async () => {
    const attempt = (ticket: string, address: string) =>
      createApp().fetch(
        new Request(`${ORIGIN}/api/page-sessions`, {
          method: "POST",
          headers: { ...CSRF, "content-type": "application/json", "cf-connecting-ip": address },
          body: JSON.stringify({ ticket }),
        }),
        bindings,
        createExecutionContext(),
      );
    const ticket = await newTicket(await signIn());
    const statuses = new Set<number>();
    // Those of a minute count, which a busy machine may take for them.
    const clock = vi.spyOn(Date, "now").mockReturnValue(Date.now());
    onTestFinished(() => clock.mockRestore());
    for (let at = 0; at < MAX_FAILURES; at++) statuses.add((await attempt(`vlt_wrong${at}`, "192.0.2.7")).status);
    expect([...statuses]).toEqual([401]);
    const refused = await attempt(ticket, "192.0.2.7");
    expect(refused.status).toBe(429);
    const waitS = Number(refused.headers.get("retry-after"));
    expect(waitS).toBeGreaterThan(0);
    expect(waitS).toBeLessThanOrEqual(60);
    expect(await refused.json()).toMatchObject({
      type: "urn:valet:problem:too-many-requests",
      detail: expect.stringContaining(`Try again in ${waitS} s`),
    });
    // It was not used up.
    expect((await attempt(ticket, "192.0.2.8")).status).toBe(201);
  });
});

describe("over http, on one's own machine", () => {
  const at = (origin: string, method: string, path: string, headers: Record<string, string>, body?: object) =>
    createApp().fetch(
      new Request(origin + path, {
        method,
        headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
      bindings,
      createExecutionContext(),
    );

  test("the cookie is not Secure, and has the port in its name: all ports of a host share their cookies", async () => {
    const ticket = await newTicket(await signIn());
    const here = "http://127.0.0.1:8787";
    const response = await at(here, "POST", "/api/page-sessions", { ...CSRF, origin: here }, { ticket });
    const cookie = response.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^valet-8787=vlt_/);
    expect(cookie).toContain("HttpOnly");
    expect(cookie).toContain("SameSite=Strict");
    expect(cookie).not.toContain("Secure");
    expect((await at(here, "GET", "/api/sessions", cookieIn(response))).status).toBe(200);
    expect((await at("http://127.0.0.1:8788", "GET", "/api/sessions", cookieIn(response))).status).toBe(401);
    // Where https is spoken only the name counts that an http page cannot set.
    expect((await at("https://127.0.0.1:8787", "GET", "/api/sessions", cookieIn(response))).status).toBe(401);
  });

  test("behind a proxy that ends TLS, it is the cookie of https", async () => {
    const ticket = await newTicket(await signIn());
    const origin = "https://valet.example.com";
    const inside = "http://valet.example.com";
    const response = await at(inside, "POST", "/api/page-sessions", { ...CSRF, origin }, { ticket });
    expect(response.headers.get("set-cookie")).toMatch(/^__Host-valet=.*; Secure;/);
    expect((await at(inside, "GET", "/api/sessions", cookieIn(response))).status).toBe(200);
  });
});
