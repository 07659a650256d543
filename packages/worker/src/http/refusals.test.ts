import { gzipSync } from "node:zlib";
import { Problem } from "@valet/shared/http/problem";
import { CSRF_HEADER } from "@valet/shared/protocol/page-sessions";
import { beforeAll, describe, expect, test } from "vitest";
import { type Call, call, createSession, signIn } from "../../test/api.ts";

const UNKNOWN = `ses_${"0".repeat(26)}`;
const MiB = 1024 * 1024;

let token: string;
let session: string;
beforeAll(async () => {
  token = await signIn();
  session = `/api/sessions/${(await createSession(token)).id}`;
});

/** Returns the problem of a refused request. */
async function problemOf(method: string, path: string, options: Call = {}) {
  const response = await call(method, path, { token, ...options });
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const problem = Problem.parse(await response.json());
  expect(problem.status).toBe(response.status);
  return { ...problem, headers: response.headers };
}

/** A route that requires a token, with `:id` in place of a session's id. */
interface Route {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
}
const ROUTES: readonly Route[] = [
  { method: "POST", path: "/api/sessions", body: {} },
  { method: "GET", path: "/api/sessions" },
  { method: "GET", path: "/api/sessions/:id" },
  { method: "POST", path: "/api/sessions/:id/messages", body: { content: "x" } },
  { method: "GET", path: "/api/sessions/:id/messages" },
  { method: "DELETE", path: "/api/sessions/:id/messages/msg_1" },
  { method: "DELETE", path: "/api/sessions/:id/queue" },
  { method: "POST", path: "/api/sessions/:id/hibernate" },
  { method: "POST", path: "/api/sessions/:id/wake" },
  { method: "POST", path: "/api/sessions/:id/abort" },
  { method: "POST", path: "/api/sessions/:id/terminate" },
  { method: "POST", path: "/api/sessions/:id/permissions/per_1", body: { reply: "once" } },
  { method: "POST", path: "/api/sessions/:id/questions/que_1", body: { answers: [["Hello"]] } },
  { method: "GET", path: "/api/sessions/:id/ws" },
  { method: "GET", path: "/api/sessions/:id/traces" },
  { method: "GET", path: `/api/sessions/:id/traces/${"a".repeat(32)}` },
  { method: "GET", path: "/api/sessions/:id/turns" },
  { method: "GET", path: "/api/sessions/:id/spans" },
  { method: "POST", path: "/api/tickets", body: { sessionId: UNKNOWN } },
];
const OF_A_SESSION = ROUTES.filter(({ path }) => path.includes(":id"));
const WITH_BODY = ROUTES.filter(({ body }) => body !== undefined);

const here = (path: string) => path.replace("/api/sessions/:id", session);

describe("authorization", () => {
  test.each(ROUTES)("$method $path refuses requests without a token", async ({ method, path, body }) => {
    const response = await call(method, here(path), { body });
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(Problem.parse(await response.json()).type).toBe("urn:valet:problem:unauthorized");
  });

  test.each(["vlt_unknown", "", "a b", "é"])("the unknown token %j is refused", async (wrong) => {
    const { status } = await problemOf("GET", "/api/sessions", {
      headers: { authorization: `Bearer ${encodeURIComponent(wrong)}` },
    });
    expect(status).toBe(401);
  });

  test("a token in another scheme or in the URL is refused", async () => {
    expect((await problemOf("GET", "/api/sessions", { headers: { authorization: `Basic ${token}` } })).status).toBe(
      401,
    );
    const response = await call("GET", `/api/sessions?access_token=${token}`);
    expect(response.status).toBe(401);
  });

  test.each(OF_A_SESSION)(
    "$method $path answers for another owner's session as for an unknown one",
    async ({ method, path, body }) => {
      const foreign = await problemOf(method, here(path), { token: await signIn(), body });
      const unknown = await problemOf(method, path.replace(":id", UNKNOWN), { body });
      const senseless = await problemOf(method, path.replace(":id", "..%2f"), { body });
      for (const each of [foreign, unknown, senseless]) {
        expect(each).toMatchObject({ status: 404, type: "urn:valet:problem:session-not-found" });
      }
      expect(foreign.detail).toBe(unknown.detail);
    },
  );
});

describe("bodies", () => {
  test.each(WITH_BODY)("$method $path refuses a body that is not JSON", async ({ method, path }) => {
    for (const body of ["{", "", "{'a': 1}", '{"a": 1}}']) {
      expect(await problemOf(method, here(path), { body })).toMatchObject({
        status: 400,
        type: "urn:valet:problem:malformed-json",
      });
    }
  });

  test.each(WITH_BODY)("$method $path refuses a body that is not an object", async ({ method, path }) => {
    for (const body of ["null", "[]", '"x"', "1"]) {
      expect((await problemOf(method, here(path), { body })).type).toBe("urn:valet:problem:invalid-input");
    }
  });

  test.each(WITH_BODY)("$method $path refuses text that is no Unicode, and says so", async ({ method, path, body }) => {
    for (const text of [Uint8Array.of(0xe4), '"\\ud83d"', '"\\uDE00\\ud83d"', '{"\\udfff":1}']) {
      const json = Buffer.concat([
        Buffer.from(`{"title":`),
        Buffer.from(typeof text === "string" ? text : [0x22, ...text, 0x22]),
        Buffer.from("}"),
      ]);
      expect(await problemOf(method, here(path), { body: json })).toMatchObject({
        type: "urn:valet:problem:malformed-json",
        detail: expect.stringMatching(/UTF-8|surrogate/),
      });
    }
    // A whole pair, and a backslash before what only looks like an escape.
    for (const text of ["\\ud83d\\ude00", "\\\\ud83d"]) {
      const { type, errors } = await problemOf(method, here(path), { body: `{"${text}":1}` });
      expect([type, errors?.length]).toEqual(["urn:valet:problem:invalid-input", expect.any(Number)]);
    }
    expect(body).toBeDefined();
  });

  test.each(WITH_BODY)(
    "$method $path refuses a compressed body, and says what it takes",
    async ({ method, path, body }) => {
      const packed = gzipSync(JSON.stringify(body));
      const refused = await problemOf(method, here(path), { body: packed, headers: { "content-encoding": "gzip" } });
      expect(refused).toMatchObject({ status: 415, detail: expect.stringContaining("content-encoding") });
      expect(refused.headers.get("accept-encoding")).toBe("identity");
    },
  );

  test.each(WITH_BODY)("$method $path refuses an unknown field and names it", async ({ method, path, body }) => {
    const { status, errors } = await problemOf(method, here(path), { body: { ...body, promt: "secret" } });
    expect(status).toBe(400);
    expect(errors).toContainEqual({ path: "promt", message: "unknown field" });
    expect(JSON.stringify(errors)).not.toContain("secret");
  });

  test.each(WITH_BODY)("$method $path refuses another content type", async ({ method, path, body }) => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]) {
      const options = { body: JSON.stringify(body), headers: { "content-type": type } };
      expect((await problemOf(method, here(path), options)).type).toBe("urn:valet:problem:unsupported-media-type");
    }
  });

  test.each(WITH_BODY)("$method $path refuses 50 MB with a stated length", async ({ method, path }) => {
    const body = `{"content": "${"x".repeat(50 * MiB)}"}`;
    expect((await problemOf(method, here(path), { body })).type).toBe("urn:valet:problem:body-too-large");
  });

  test("50 MB without a stated length are refused before their end is read", async () => {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent >= 50 * MiB) return controller.close();
        controller.enqueue(new Uint8Array(64 * 1024).fill(120));
        sent += 64 * 1024;
      },
    });
    const path = `${session}/messages`;
    expect((await problemOf("POST", path, { body })).type).toBe("urn:valet:problem:body-too-large");
    expect(sent).toBeLessThan(10 * MiB);
  });

  test("deep nesting is refused", async () => {
    const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
    const { status } = await problemOf("POST", "/api/sessions", { body: `{"models": ${deep}}` });
    expect(status).toBe(400);
  });
});

describe("addresses", () => {
  test.each(["/api", "/api/nothing", "/api/sessions/", "/runner", "/assets/nothing.js", "/api/sessions/%ff"])(
    "%s is not found",
    async (path) => {
      expect((await problemOf("GET", path)).status).toBe(404);
    },
  );

  test.each(["POST", "PUT", "DELETE"])("%s on an unknown path", async (method) => {
    expect((await problemOf(method, "/api/nothing")).type).toBe("urn:valet:problem:not-found");
  });

  test.each(ROUTES)("$method $path refuses PATCH", async ({ method, path }) => {
    const { status, headers } = await problemOf("PATCH", here(path));
    expect(status).toBe(405);
    expect(headers.get("allow")?.split(", ")).toContain(method);
  });

  test("only WebSocket routes accept upgrades", async () => {
    for (const path of [`${session}/ws`, session.replace("/api/sessions", "/runner")]) {
      const { status, headers } = await problemOf("GET", path);
      expect(status).toBe(426);
      expect(headers.get("upgrade")).toBe("websocket");
    }
  });
});

describe("queries", () => {
  test.each(["limit=0", "limit=101", "limit=x", "limit=1.5", "page=2", "cursor=x&limit=0"])(
    "GET /api/sessions?%s",
    async (query) => {
      expect((await problemOf("GET", `/api/sessions?${query}`)).type).toBe("urn:valet:problem:invalid-input");
    },
  );

  test.each(["turn=x", "patches=none", "from=first&unknown"])(
    "GET /diff?%s refuses an unknown field",
    async (query) => {
      expect((await problemOf("GET", `${session}/diff?${query}`)).type).toBe("urn:valet:problem:invalid-input");
    },
  );

  test("every route refuses a parameter that it does not have, and names it", async () => {
    const document = await (await call("GET", "/api/openapi.json")).json<{ paths: Record<string, object> }>();
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method.toUpperCase(), path] as const),
    );
    expect(routes.length).toBeGreaterThan(50);
    expect((await call("GET", "/api/health?promt=canary")).status).toBe(200);
    for (const [method, path] of routes.filter(([, each]) => each !== "/api/health")) {
      const ids = { id: session.slice("/api/sessions/".length), traceId: "1".repeat(32), spanId: "1".repeat(16) };
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name as keyof typeof ids] ?? "x");
      const url = `${filled}?promt=canary`;
      const headers = { [CSRF_HEADER]: "1", ...(path.endsWith("/ws") && { upgrade: "websocket" }) };
      const refused = await problemOf(method, url, { headers, ...(method === "POST" && { body: {} }) });
      const errors = expect.arrayContaining([{ path: "promt", message: "unknown field" }]);
      expect([method, path, refused]).toMatchObject([method, path, { errors }]);
    }
  });

  test("every list refuses what is no cursor of it, with one type of error", async () => {
    const trace = `traces/${"1".repeat(32)}`;
    const ofSession = ["messages", "traces", "turns", "workflows", "spans", trace, `${trace}/search?q=a`].map(
      (list) => `${session}/${list}`,
    );
    for (const list of ["/api/sessions", ...ofSession]) {
      for (const cursor of ["", "x", "WyJhIl0", "-1", "9".repeat(30), "9".repeat(300)]) {
        const path = `${list}${list.includes("?") ? "&" : "?"}cursor=${cursor}`;
        expect([path, (await problemOf("GET", path)).type]).toEqual([path, "urn:valet:problem:invalid-cursor"]);
      }
    }
    expect((await problemOf("GET", `${session}/${trace}/skeleton?after=`)).type).toBe(
      "urn:valet:problem:invalid-cursor",
    );
  });
});

describe("cursors", () => {
  /** Returns `nextCursor` of a list. */
  async function nextOf(list: string): Promise<string> {
    const page = (await (await call("GET", list, { token })).json()) as { readonly nextCursor?: string };
    if (page.nextCursor === undefined) throw new Error(`${list} has one page only`);
    return page.nextCursor;
  }
  const withCursor = (list: string, cursor: string) => `${list}${list.includes("?") ? "&" : "?"}cursor=${cursor}`;

  test("a list refuses the cursor of another one: its page would lack items and look complete", async () => {
    const other = `/api/sessions/${(await createSession(token)).id}`;
    for (let i = 0; i < 51; i++) {
      expect((await call("POST", `${session}/messages`, { token, body: { content: "x" } })).status).toBe(202);
    }
    const lists = [
      "/api/sessions?limit=1",
      ...["messages", "messages?order=desc", "traces"].map((list) => `${session}/${list}`),
    ];
    const wrong = {
      "/api/sessions?limit=1": ["/api/turns", "/api/turns?sort=cost", "/api/attention", `${session}/traces`],
      [`${session}/messages`]: ["turns", "workflows", "traces"].map((list) => `${session}/${list}`),
      [`${session}/messages?order=desc`]: [`${session}/workflows`, `${other}/messages`, "/api/sessions"],
      [`${session}/traces`]: [`${other}/traces`, "/api/sessions", "/api/turns", "/api/attention"],
    };
    for (const list of lists) {
      const cursor = await nextOf(list);
      expect((await call("GET", withCursor(list, cursor), { token })).status, list).toBe(200);
      for (const path of [
        ...(wrong[list] ?? []),
        ...(list.startsWith(session) ? [list.replace(session, other)] : []),
      ]) {
        const { type } = await problemOf("GET", withCursor(path, cursor));
        expect([list, path, type]).toEqual([list, path, "urn:valet:problem:invalid-cursor"]);
      }
    }
  });
});

test("the session still answers after all of these", async () => {
  const response = await call("GET", session, { token });
  expect(response.status).toBe(200);
});
