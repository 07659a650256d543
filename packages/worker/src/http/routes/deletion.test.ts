import { SessionView } from "@valet/shared/protocol/session-view";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { issueTicket } from "../../auth/tickets.ts";
import { deleteSession } from "../../database/deleted-sessions.ts";
import { newId } from "../../durable-objects/core/ids.ts";
import { SessionAgent } from "../../durable-objects/session-agent.ts";

const { DB } = bindings;
const OWNER = "own_deletion";
const UPGRADE = { upgrade: "websocket" };
const DELETED_AT = "2026-01-02T03:04:05.000Z";
let token: string;

/** Leaves the tombstone of a session. @returns its id */
async function leaveTombstone(ownerId = OWNER): Promise<string> {
  const id = newId("ses");
  const facts = { spansNotExported: 0, unfinishedCalls: 0 };
  const tombstone = { id, ownerId, deletedAt: DELETED_AT, reason: "requested", deletedBy: ownerId, ...facts } as const;
  await DB.batch(deleteSession(DB, tombstone));
  return id;
}

async function expectGone(response: Response): Promise<void> {
  expect(response.status).toBe(410);
  expect(await response.json()).toMatchObject({
    type: "urn:valet:problem:session-deleted",
    detail: `That was at ${DELETED_AT}.`,
  });
}

/** Spies on everything that an object of a session does. @returns the names of what it did */
function watchObjects(): () => string[] {
  const names = Object.getOwnPropertyNames(SessionAgent.prototype).filter((name) => name !== "constructor");
  const spies = names.map((name) => [name, vi.spyOn(SessionAgent.prototype, name as "view")] as const);
  return () => {
    const called = spies.filter(([, spy]) => spy.mock.calls.length > 0).map(([name]) => name);
    for (const [, spy] of spies) spy.mockRestore();
    return called;
  };
}

beforeAll(async () => {
  token = await signIn(OWNER);
});

test("DELETE answers 202 with the session, which is ending, and again; another owner's session is not found", async () => {
  const { id } = await createSession(token);
  for (let times = 0; times < 2; times++) {
    const response = await call("DELETE", `/api/sessions/${id}`, { token });
    expect(response.status).toBe(202);
    const view = SessionView.parse(await response.json());
    expect(view).toMatchObject({ id, deletion: { reason: "requested", since: expect.any(String) } });
    expect(["terminating", "terminated"]).toContain(view.status);
  }
  expect((await call("DELETE", `/api/sessions/${id}`, { token: await signIn() })).status).toBe(404);
  expect((await call("DELETE", "/api/sessions/ses_none", { token })).status).toBe(404);
  expect((await call("POST", `/api/sessions/${id}/messages`, { token, body: { content: "more" } })).status).toBe(409);
});

describe("a deleted session is answered with 410, and its object is not woken", () => {
  test("by every route that names a session", async () => {
    const document = (await (await call("GET", "/api/openapi.json")).json()) as { paths: Record<string, object> };
    const id = await leaveTombstone();
    const routes = Object.entries(document.paths)
      .filter(([path]) => path.startsWith("/api/sessions/{id}"))
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => [method.toUpperCase(), path] as const));
    expect(routes.length).toBeGreaterThan(20);
    const called = watchObjects();
    for (const [method, path] of routes) {
      const url = path.replace("{id}", id).replaceAll(/\{\w+\}/g, "x");
      await expectGone(await call(method, url, { token, ...(method === "POST" && { body: {} }), headers: UPGRADE }));
    }
    await expectGone(await call("DELETE", `/api/sessions/${id}`, { token }));
    expect(called()).toEqual([]);
  });

  test("by the runners' socket, and by a client's with a token or a ticket, whether it was issued before or after", async () => {
    const id = newId("ses");
    const { ticket: before } = await issueTicket(DB, id, OWNER);
    const facts = { reason: "requested", deletedBy: OWNER, spansNotExported: 0, unfinishedCalls: 0 } as const;
    await DB.batch(deleteSession(DB, { id, ownerId: OWNER, deletedAt: DELETED_AT, ...facts }));
    const { ticket: after } = await issueTicket(DB, id, OWNER);
    const called = watchObjects();
    await expectGone(await call("GET", `/runner/${id}`, { headers: UPGRADE }));
    await expectGone(await call("GET", `/api/sessions/${id}/ws`, { token, headers: UPGRADE }));
    for (const ticket of [before, after]) {
      await expectGone(await call("GET", `/api/sessions/${id}/ws?ticket=${ticket}`, { headers: UPGRADE }));
    }
    expect(called()).toEqual([]);
  });

  test("where a ticket for it is asked for; and it is no parent", async () => {
    const id = await leaveTombstone();
    const called = watchObjects();
    await expectGone(await call("POST", "/api/tickets", { token, body: { sessionId: id } }));
    const child = await call("POST", "/api/sessions", { token, body: { parentSessionId: id } });
    expect(child.status).toBe(400);
    // Nor is another session created under its id.
    await expectGone(await call("POST", "/api/sessions", { token, body: { id } }));
    expect(called()).toEqual([]);
  });

  test("but another owner's is not found, and it is in no list", async () => {
    const id = await leaveTombstone("own_other");
    expect((await call("GET", `/api/sessions/${id}`, { token })).status).toBe(404);
    expect((await call("POST", "/api/tickets", { token, body: { sessionId: id } })).status).toBe(404);
    const own = await leaveTombstone();
    expect(await (await call("GET", "/api/sessions", { token })).text()).not.toContain(own);
  });
});
