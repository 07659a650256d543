import { SessionView } from "@valet/shared/protocol/session-view";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { type Call, call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { issueTicket } from "../../auth/tickets.ts";
import { deleteSession } from "../../database/deleted-sessions.ts";
import { hashToken, newId } from "../../durable-objects/core/ids.ts";
import { SessionAgent } from "../../durable-objects/session-agent.ts";

const { DB } = bindings;
const OWNER = "own_deletion";
const UPGRADE = { upgrade: "websocket" };
const DELETED_AT = "2026-01-02T03:04:05.000Z";
const RUNNER = { authorization: "Bearer vlt_guess", "x-valet-generation": "1" };
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

/** Returns all that a client sees of an answer: the status and the body, or how the socket is closed. */
async function seen(method: string, path: string, more: Call): Promise<readonly [status: number, rest: object]> {
  const response = await call(method, path, more);
  const { status, webSocket } = response;
  if (webSocket === null) {
    const headers = [...response.headers].filter(([name]) => name !== "traceresponse" && name !== "date");
    return [status, { text: await response.text(), headers }];
  }
  const frames: unknown[] = [];
  const closed = await new Promise<unknown>((resolve) => {
    webSocket.addEventListener("message", ({ data }) => frames.push(data));
    webSocket.addEventListener("close", ({ code, reason }) => resolve([code, reason]));
    webSocket.accept();
  });
  return [status, { frames, closed }];
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

test("the id of a session that is being deleted creates no session, whatever is asked for: 409", async () => {
  const own = { id: newId("ses"), title: "Short-lived" };
  const { id: chosen } = await createSession(token);
  await createSession(token, own);
  for (const body of [own, { ...own, title: "Other" }, { id: chosen }]) {
    await call("DELETE", `/api/sessions/${body.id}`, { token });
    const response = await call("POST", "/api/sessions", { token, body });
    expect([response.status, await response.json()]).toMatchObject([
      409,
      { type: "urn:valet:problem:session-ended", detail: "It is being deleted. Use a new id." },
    ]);
  }
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

  test("by a client's socket with a token, or with a ticket that is valid", async () => {
    const id = await leaveTombstone();
    const { ticket } = await issueTicket(DB, id, hashToken(token));
    const called = watchObjects();
    await expectGone(await call("GET", `/api/sessions/${id}/ws`, { token, headers: UPGRADE }));
    await expectGone(await call("GET", `/api/sessions/${id}/ws?ticket=${ticket}`, { headers: UPGRADE }));
    expect(called()).toEqual([]);
  });

  test("but not to its runner, whose token went with it: it is refused as a stranger", async () => {
    const id = await leaveTombstone();
    const called = watchObjects();
    expect(await seen("GET", `/runner/${id}`, { headers: { ...UPGRADE, ...RUNNER } })).toMatchObject([
      101,
      { closed: [4401, "token_refused"] },
    ]);
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

describe("who may not see a session cannot tell whether it exists, was deleted, or never was", () => {
  /** One of another owner each: one that exists, one that was deleted, one that never was. */
  let ids: readonly string[];
  /** Of the deleted one, issued before it was deleted. */
  let ticketOfDeleted: string;

  beforeAll(async () => {
    const other = "own_with_sessions";
    const otherToken = await signIn(other);
    const { id } = await createSession(otherToken);
    const deleted = newId("ses");
    ({ ticket: ticketOfDeleted } = await issueTicket(DB, deleted, hashToken(otherToken)));
    const facts = { reason: "requested", deletedBy: other, spansNotExported: 0, unfinishedCalls: 0 } as const;
    await DB.batch(deleteSession(DB, { id: deleted, ownerId: other, deletedAt: DELETED_AT, ...facts }));
    ids = [id, deleted, newId("ses")];
  });

  /** Asks the same of each session. @returns what is seen of the first, which the others are equal to */
  async function sameForAll(method: string, pathOf: (id: string) => string, more: (id: string) => Call = () => ({})) {
    const answers = [];
    for (const id of ids) {
      answers.push(JSON.stringify(await seen(method, pathOf(id), more(id))).replaceAll(id, "<id>"));
    }
    expect(new Set(answers), `${method} ${pathOf("<id>")}: ${answers.join(" | ")}`).toHaveProperty("size", 1);
    return answers[0] ?? "";
  }

  test("by any route that names it, without a token, with an unknown one, and with another owner's", async () => {
    const document = (await (await call("GET", "/api/openapi.json")).json()) as { paths: Record<string, object> };
    const routes = Object.entries(document.paths)
      .filter(([path]) => path.startsWith("/api/sessions/{id}"))
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => [method.toUpperCase(), path] as const));
    expect(routes.length).toBeGreaterThan(20);
    for (const [method, path] of routes) {
      const pathOf = (id: string) => path.replace("{id}", id).replaceAll(/\{\w+\}/g, "x");
      for (const by of [undefined, "vlt_unknown", token]) {
        const body = method === "POST" ? { body: {} } : {};
        await sameForAll(method, pathOf, () => ({ ...(by !== undefined && { token: by }), ...body, headers: UPGRADE }));
      }
    }
  });

  test("by a client's socket, whose ticket is unknown, used, issued for another session, or deleted with its session", async () => {
    const { id: own } = await createSession(token);
    const { ticket: used } = await issueTicket(DB, own, hashToken(token));
    await sameForAll(
      "GET",
      (id) => `/api/sessions/${id}/ws?ticket=${used}`,
      () => ({ headers: UPGRADE }),
    );
    for (const ticket of ["vlt_unknown", used, ticketOfDeleted]) {
      const answer = await sameForAll(
        "GET",
        (id) => `/api/sessions/${id}/ws?ticket=${ticket}`,
        () => ({
          headers: UPGRADE,
        }),
      );
      expect(answer).toMatch(/^\[401,/);
    }
  });

  test("by the runners' socket, whatever token and generation it shows", async () => {
    for (const headers of [
      {},
      { authorization: "Bearer vlt_unknown" },
      RUNNER,
      { ...RUNNER, "x-valet-generation": "9" },
    ]) {
      await sameForAll(
        "GET",
        (id) => `/runner/${id}`,
        () => ({ headers: { ...UPGRADE, ...headers } }),
      );
      await sameForAll(
        "GET",
        (id) => `/runner/${id}`,
        () => ({ headers }),
      );
    }
  });

  test("by what names it beside the path: tickets, parents and lists", async () => {
    await sameForAll(
      "POST",
      () => "/api/tickets",
      (sessionId) => ({ token, body: { sessionId } }),
    );
    await sameForAll(
      "POST",
      () => "/api/sessions",
      (parentSessionId) => ({ token, body: { parentSessionId } }),
    );
    for (const list of ["sessions?parentSessionId=", "turns?sessionId=", "turns?parentSessionId="]) {
      await sameForAll(
        "GET",
        (id) => `/api/${list}${id}`,
        () => ({ token }),
      );
    }
  });

  test("but an id that is taken cannot be used for a new session: that says neither whose it is nor whether it exists", async () => {
    const [existing = "", deleted = ""] = ids;
    const answers = [];
    for (const id of [existing, deleted]) answers.push(await seen("POST", "/api/sessions", { token, body: { id } }));
    expect(answers[0]).toMatchObject([409, { text: expect.stringContaining("session-exists") }]);
    expect(answers[0]).toEqual(answers[1]);
  });
});
