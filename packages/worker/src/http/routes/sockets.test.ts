import { Problem } from "@valet/shared/http/problem";
import { Ticket } from "@valet/shared/protocol/session-api";
import { beforeAll, describe, expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { tokenIdOf } from "../../database/tokens.ts";
import { hashToken } from "../../durable-objects/core/ids.ts";

let token: string;
let sessionId: string;
beforeAll(async () => {
  token = await signIn();
  sessionId = (await createSession(token)).id;
});

const upgrade = { upgrade: "websocket" };
const socketOf = (id: string, ticket?: string) =>
  `/api/sessions/${id}/ws${ticket === undefined ? "" : `?ticket=${ticket}`}`;

async function newTicket(): Promise<string> {
  const response = await call("POST", "/api/tickets", { token, body: { sessionId } });
  expect(response.status).toBe(201);
  return Ticket.parse(await response.json()).ticket;
}

function close(response: Response): void {
  response.webSocket?.accept();
  response.webSocket?.close();
}

describe("a client's socket", () => {
  test("opens with a token", async () => {
    const response = await call("GET", socketOf(sessionId), { token, headers: upgrade });
    expect(response.status).toBe(101);
    close(response);
  });

  test.each([
    [1000, 1000],
    [4000, 4000],
    [undefined, 1000],
  ])("answers a client that closes it with the code %s", async (code, answered) => {
    const { webSocket } = await call("GET", socketOf(sessionId), { token, headers: upgrade });
    if (webSocket === null || webSocket === undefined) throw new Error("no socket");
    webSocket.accept();
    const closed = new Promise<CloseEvent>((resolve) => webSocket.addEventListener("close", resolve));
    webSocket.close(code);
    expect((await closed).code).toBe(answered);
  });

  test("is refused with a problem while as many as may watch do", async () => {
    const { id } = await createSession(token);
    const open = () => call("GET", socketOf(id), { token, headers: upgrade });
    const sockets = await Promise.all(Array.from({ length: 64 }, open));
    for (const { webSocket } of sockets) webSocket?.accept();
    const refused = await open();
    expect([refused.status, refused.headers.get("content-type")]).toEqual([429, "application/problem+json"]);
    expect(refused.headers.get("retry-after")).toBe("10");
    expect(Problem.parse(await refused.json())).toMatchObject({
      type: "urn:valet:problem:too-many-requests",
      detail: expect.stringContaining("64 clients"),
    });
    // Those that close make room.
    for (const { webSocket } of sockets) webSocket?.close();
    await eventually(async () => {
      const next = await open();
      close(next);
      expect(next.status).toBe(101);
    });
  });

  test("opens with a ticket, once", async () => {
    const ticket = await newTicket();
    const first = await call("GET", socketOf(sessionId, ticket), { headers: upgrade });
    expect(first.status).toBe(101);
    close(first);
    expect((await call("GET", socketOf(sessionId, ticket), { headers: upgrade })).status).toBe(401);
  });

  test("opens for one of two concurrent requests with the same ticket", async () => {
    const ticket = await newTicket();
    const both = await Promise.all([1, 2].map(() => call("GET", socketOf(sessionId, ticket), { headers: upgrade })));
    expect(both.map(({ status }) => status).sort()).toEqual([101, 401]);
    both.forEach(close);
  });

  test("leaves the ticket valid when a request is not an upgrade", async () => {
    const ticket = await newTicket();
    expect((await call("GET", socketOf(sessionId, ticket))).status).toBe(426);
    const response = await call("GET", socketOf(sessionId, ticket), { headers: upgrade });
    expect(response.status).toBe(101);
    close(response);
  });

  test("does not open with a ticket of another session, whoever sends it", async () => {
    const other = await createSession(token);
    const response = await call("GET", socketOf(other.id, await newTicket()), { token, headers: upgrade });
    expect(response.status).toBe(401);
  });

  test("does not open with a ticket that is 30 s old or unknown", async () => {
    const ticket = await newTicket();
    await bindings.DB.prepare("UPDATE socket_tickets SET expires_at = ? WHERE hash = ?")
      .bind(new Date(Date.now() - 1).toISOString(), hashToken(ticket))
      .run();
    for (const bad of [ticket, "x", "%00"]) {
      expect((await call("GET", socketOf(sessionId, bad), { headers: upgrade })).status).toBe(401);
    }
  });

  test("does not open with a ticket whose token was revoked or has expired, also if the owner has another one", async () => {
    const owner = crypto.randomUUID();
    const [maker, other] = [await signIn(owner), await signIn(owner)];
    const { id } = await createSession(maker);
    const make = async () => {
      const response = await call("POST", "/api/tickets", { token: maker, body: { sessionId: id } });
      return Ticket.parse(await response.json()).ticket;
    };
    const open = async (ticket: string) => {
      const response = await call("GET", socketOf(id, ticket), { headers: upgrade });
      close(response);
      return response.status;
    };
    const setExpiry = (at: number) =>
      bindings.DB.prepare("UPDATE tokens SET expires_at = ? WHERE hash = ?")
        .bind(new Date(at).toISOString(), hashToken(maker))
        .run();
    const [early, expired, revoked] = [await make(), await make(), await make()];
    await setExpiry(Date.now() + 60_000);
    expect(await open(early)).toBe(101);
    await setExpiry(Date.now() - 1);
    expect(await open(expired)).toBe(401);
    await setExpiry(Date.now() + 60_000);
    const revoking = `/api/tokens/${tokenIdOf(hashToken(maker))}`;
    expect((await call("DELETE", revoking, { token: other })).status).toBe(204);
    expect(await open(revoked)).toBe(401);
  });

  test("is the only thing that a ticket opens", async () => {
    const ticket = await newTicket();
    const response = await call("GET", `/api/sessions/${sessionId}?ticket=${ticket}`);
    expect(response.status).toBe(401);
  });
});

describe("tickets", () => {
  test("are for the owner's sessions only", async () => {
    const response = await call("POST", "/api/tickets", { token: await signIn(), body: { sessionId } });
    expect(response.status).toBe(404);
  });

  test("are deleted from the database when they have expired", async () => {
    const ticket = await newTicket();
    await bindings.DB.prepare("UPDATE socket_tickets SET expires_at = '2000-01-01T00:00:00.000Z'").run();
    await newTicket();
    const row = await bindings.DB.prepare("SELECT 1 FROM socket_tickets WHERE hash = ?")
      .bind(hashToken(ticket))
      .first();
    expect(row).toBeNull();
  });
});

describe("a runner's socket", () => {
  test("wakes no object for an unknown id", async () => {
    for (const id of [`ses_${"0".repeat(26)}`, "x", "%00"]) {
      expect((await call("GET", `/runner/${id}`, { headers: upgrade })).status).toBe(401);
    }
  });
});
