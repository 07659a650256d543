import { createExecutionContext } from "cloudflare:test";
import { Problem } from "@valet/shared/http/problem";
import { Health } from "@valet/shared/protocol/session-api";
import { describe, expect, test, vi } from "vitest";
import { costsIn } from "../../../shared/test/cost-bounds.ts";
import { call, createSession, ORIGIN, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import { newId } from "../durable-objects/core/ids.ts";
import { createApp } from "./app.ts";

test("health needs no token", async () => {
  const response = await call("GET", "/api/health");
  expect(response.status).toBe(200);
  Health.parse(await response.json());
});

test.each([
  ["an answer", "/api/health", 200],
  ["a refusal", "/api/sessions", 401],
])("%s says the time of the server's clock", async (_what, path, status) => {
  const response = await call("GET", path);
  expect(response.status).toBe(status);
  expect(Math.abs(Date.parse(response.headers.get("date") ?? "") - Date.now())).toBeLessThan(60_000);
});

describe("the documentation", () => {
  interface Operation {
    readonly summary?: string;
    readonly operationId?: string;
    readonly security?: unknown[];
    readonly requestBody?: { readonly required?: boolean };
    readonly responses: Record<string, unknown>;
  }
  const document = async () => {
    const response = await call("GET", "/api/openapi.json");
    expect(response.status).toBe(200);
    return (await response.json()) as {
      openapi: string;
      paths: Record<string, Record<string, Operation>>;
      servers: unknown;
    };
  };

  test("says of everything that has a cost whether that is a lower bound", async () => {
    const costs = costsIn(await document());
    expect(costs).not.toEqual([]);
    expect(costs.filter(({ isBounded }) => !isBounded)).toEqual([]);
  });

  test("has every route of the API, and no others", async () => {
    const { openapi, paths } = await document();
    expect(openapi).toBe("3.1.0");
    const documented = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`),
    );
    const served = createApp().routes.flatMap(({ method, path }) => {
      const isRoute = method !== "ALL" && path !== "/api/openapi.json" && path.startsWith("/api/");
      return isRoute ? [`${method} ${path}`] : [];
    });
    expect(documented.toSorted()).toEqual([...new Set(served)].toSorted());
  });

  test("names each operation once, and says where it is served", async () => {
    const { paths, servers } = await document();
    const names = Object.values(paths).flatMap((each) => Object.values(each).map(({ operationId }) => operationId));
    expect(names).not.toContain(undefined);
    expect(new Set(names).size).toBe(names.length);
    expect(servers).toEqual([{ url: ORIGIN }]);
  });

  test("has a name for the schema of each JSON answer", async () => {
    const { paths } = await document();
    for (const operation of Object.values(paths).flatMap((each) => Object.values(each))) {
      for (const response of Object.values(operation.responses) as { content?: Record<string, { schema: object }> }[]) {
        const schema = response.content?.["application/json"]?.schema;
        if (schema !== undefined) expect(Object.keys(schema), operation.operationId).toEqual(["$ref"]);
      }
    }
  });

  test("describes each route's purpose, input and answers", async () => {
    const { paths } = await document();
    for (const operation of Object.values(paths).flatMap((each) => Object.values(each))) {
      expect(operation.summary).toBeTruthy();
      if (operation.requestBody !== undefined) expect(operation.requestBody.required).toBe(true);
      if (operation.security === undefined) expect(operation.responses).toHaveProperty("default");
    }
  });
});

test("a message is accepted after one round trip to D1, which says whose the token and the session are", async () => {
  const token = await signIn();
  const { id } = await createSession(token);
  const trips: string[] = [];
  const DB = {
    prepare: (query: string) => bindings.DB.prepare(query),
    batch: (statements: D1PreparedStatement[]) => {
      trips.push(`batch of ${statements.length}`);
      return bindings.DB.batch(statements);
    },
  } as unknown as D1Database;
  const single = vi.spyOn(Object.getPrototypeOf(bindings.DB.prepare("SELECT 1")), "first");
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify({ content: "hello" }) };
  const ctx = createExecutionContext();
  const response = await createApp().fetch(
    new Request(`${ORIGIN}/api/sessions/${id}/messages`, init),
    { ...bindings, DB },
    ctx,
  );
  expect(response.status).toBe(202);
  expect([trips, single.mock.calls]).toEqual([["batch of 2"], []]);
  single.mockRestore();
  const others = { authorization: `Bearer ${await signIn()}` };
  const foreign = await call("GET", `/api/sessions/${id}`, { headers: others });
  expect(foreign.status).toBe(404);
});

describe("an owner who exceeds the limit of changes", () => {
  const CHANGES_LIMIT = { limit: async () => ({ success: false }) };
  const request = async (method: string) => {
    const headers = { authorization: `Bearer ${await signIn()}`, "content-type": "application/json" };
    const init = { method, headers, ...(method === "POST" && { body: "{}" }) };
    const env = { ...bindings, CHANGES_LIMIT };
    return createApp().fetch(new Request(`${ORIGIN}/api/sessions`, init), env, createExecutionContext());
  };

  test("gets a 429 with Retry-After", async () => {
    const response = await request("POST");
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("60");
  });

  test("may still read", async () => {
    expect((await request("GET")).status).toBe(200);
  });
});

test.each(["no such table: sessions: SQLITE_ERROR", "no such column: export_problem: SQLITE_ERROR"])(
  "before the migrations are applied, health has no export state, in the answer or in the log: %s",
  async (text) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const DB = { prepare: () => ({ first: () => Promise.reject(new Error(`D1_ERROR: ${text}`)) }) };
    const env = { ...bindings, DB } as unknown as typeof bindings;
    const response = await createApp().fetch(new Request(`${ORIGIN}/api/health`), env, createExecutionContext());
    expect(await response.json()).toEqual({ status: "ok" });
    expect(log).not.toHaveBeenCalled();
    log.mockRestore();
  },
);

test.each([
  ["no such table: tokens: SQLITE_ERROR"],
  ["no such column: cause_key at offset 7: SQLITE_ERROR"],
  ["table tokens has no column named speaks_for_others: SQLITE_ERROR"],
])("before the migrations are applied, a request is refused with 503 and what to do: %s", async (text) => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const fail = () => Promise.reject(new Error(`D1_ERROR: ${text}`));
  const failing = { all: fail, first: fail };
  const prepare = () => ({ ...failing, bind: () => failing });
  const env = { ...bindings, DB: { prepare, batch: fail } } as unknown as typeof bindings;
  const request = new Request(`${ORIGIN}/api/sessions`, { headers: { authorization: "Bearer vlt_1" } });
  const response = await createApp().fetch(request, env, createExecutionContext());
  expect([response.status, response.headers.get("content-type")]).toEqual([503, "application/problem+json"]);
  expect(response.headers.get("retry-after")).toBe("10");
  const { type, detail } = Problem.parse(await response.json());
  expect(type).toBe("urn:valet:problem:migrations-missing");
  expect(detail).toMatch(/`valet up` applies .*wrangler d1 migrations apply DB --remote/);
  expect(log.mock.calls.flat().join()).toContain('"lacks":"migrations"');
  log.mockRestore();
});

test.each([
  ["VALET_MODEL_PRICES", "SECRET"],
  ["VALET_RETENTION_DAYS", "SECRET"],
  ["VALET_MODEL_BASE_URL", "SECRET"],
  ["VALET_MAX_AWAKE", "SECRET"],
])("a wrong %s is named to the caller and in the log, without its value", async (name, value) => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const env = { ...bindings, [name]: value } as unknown as typeof bindings;
  const headers = { authorization: `Bearer ${await signIn()}` };
  const request = new Request(`${ORIGIN}/api/system`, { headers });
  const response = await createApp().fetch(request, env, createExecutionContext());
  expect(response.status).toBe(500);
  const { detail } = (await response.json()) as { readonly detail: string };
  expect(detail).toMatch(new RegExp(`^A variable of the deployment is wrong\\. ${name}: .+\\.$`));
  const logged = log.mock.calls.flat().join();
  expect(logged).toContain(`"setting":"${name}: `);
  expect(detail + logged).not.toContain(value);
  log.mockRestore();
});

test.each([
  ["VALET_MODEL_PRICES", "GET", ""],
  ["VALET_RETENTION_DAYS", "POST", "/abort"],
  ["VALET_MAX_AWAKE", "GET", "/now"],
  ["VALET_GRACE_MS", "POST", undefined],
])("a wrong %s is named before a session's object is touched: %s %s", async (name, method, path) => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const token = await signIn();
  const id = newId("ses");
  await createSession(token, { id });
  const touched = () => {
    throw new Error("the object was touched");
  };
  const SESSION_AGENT = { idFromName: touched, get: touched };
  const env = { ...bindings, SESSION_AGENT, [name]: "SECRET" } as unknown as typeof bindings;
  const url = `${ORIGIN}/api/sessions${path === undefined ? "" : `/${id}${path}`}`;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const body = path === undefined ? JSON.stringify({ id }) : null;
  const response = await createApp().fetch(new Request(url, { method, headers, body }), env, createExecutionContext());
  expect([response.status, await response.json()]).toMatchObject([
    500,
    { detail: expect.stringMatching(new RegExp(`^A variable of the deployment is wrong\\. ${name}: .+\\.$`)) },
  ]);
  log.mockRestore();
});

test("a runner's connection learns of a wrong variable before any session is looked for", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const env = { ...bindings, DB: undefined, VALET_COLLECT_MAX_MS: "SECRET" } as unknown as typeof bindings;
  const headers = { upgrade: "websocket", authorization: "Bearer x", "x-valet-generation": "1" };
  const request = new Request(`${ORIGIN}/runner/ses_1`, { headers });
  const response = await createApp().fetch(request, env, createExecutionContext());
  expect([response.status, await response.json()]).toMatchObject([
    500,
    {
      detail:
        "A variable of the deployment is wrong. VALET_COLLECT_MAX_MS: must be a whole number of milliseconds from 1 to 2147483647.",
    },
  ]);
  log.mockRestore();
});

test("an unexpected error is hidden from the caller and from the log", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const DB = { prepare: () => ({ bind: () => ({ first: () => Promise.reject(new Error("SELECT secret FROM t")) }) }) };
  const env = { ...bindings, DB } as unknown as typeof bindings;
  const request = new Request(`${ORIGIN}/api/sessions`, { headers: { authorization: "Bearer x" } });
  const response = await createApp().fetch(request, env, createExecutionContext());
  expect(response.status).toBe(500);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.json()).toEqual({
    type: "urn:valet:problem:internal",
    title: "The server failed",
    status: 500,
  });
  expect(log.mock.calls.flat().join()).toContain('"error":"Error"');
  expect(log.mock.calls.flat().join()).not.toContain("SELECT");
  log.mockRestore();
});
