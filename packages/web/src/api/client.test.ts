import { afterEach, beforeEach, expect, test, vi } from "vitest";

let client: typeof import("./client.ts");
let connection: typeof import("./connection.ts").connection;
/** What the server answers. */
let answer: () => Response | Promise<Response>;

beforeEach(async () => {
  vi.resetModules();
  vi.stubGlobal("location", new URL("https://valet.test/"));
  vi.stubGlobal("fetch", async () => answer());
  client = await import("./client.ts");
  ({ connection } = await import("./connection.ts"));
});
afterEach(() => vi.unstubAllGlobals());

const read = () => client.ok(client.api.GET("/api/attention", {}));
const typed = (status: number, type: string, body: string | ReadableStream) => () =>
  new Response(body, { status, headers: { "content-type": type } });

test.each([
  ["the page of a login", 200, "text/html; charset=utf-8"],
  ["a proxy that knows no such place", 404, "text/plain"],
  ["a proxy that asks for a password", 401, "text/html"],
])("%s in place of an answer is none: it says so, and is tried again", async (_what, status, type) => {
  answer = typed(status, type, "<title>Welcome</title>");
  const error = await read().catch((error: unknown) => error);
  expect(error).toMatchObject({ status: null, message: expect.stringContaining("Something else than Valet answered") });
  expect(connection.read().state).toBe("offline");
  answer = typed(200, "application/json", '{"items":[]}');
  expect(await read()).toEqual({ items: [] });
  expect(connection.read().state).toBe("live");
});

test("an error of Valet's, and a proxy's error that passes by itself, keep their status", async () => {
  const problem = { type: "urn:valet:problem:session-deleted", title: "It was deleted", status: 410 };
  answer = typed(410, "application/problem+json", JSON.stringify(problem));
  await expect(read()).rejects.toMatchObject({ status: 410, problem: "session-deleted" });
  answer = typed(503, "text/html", "<title>Busy</title>");
  await expect(read()).rejects.toMatchObject({ status: 503 });
});

test.each([
  ["ends too early", () => '{"items":['],
  [
    "breaks off",
    () =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('{"items":['));
          controller.error(new TypeError("network error"));
        },
      }),
  ],
])("an answer that %s is none", async (_what, body) => {
  answer = typed(200, "application/json", body());
  await expect(read()).rejects.toMatchObject({ name: "ApiError", status: null });
});
