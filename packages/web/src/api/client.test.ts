import { afterEach, beforeEach, expect, test, vi } from "vitest";

let client: typeof import("./client.ts");
let connection: typeof import("./connection.ts").connection;
/** What the server answers. */
let answer: (signal: AbortSignal) => Response | Promise<Response>;

beforeEach(async () => {
  vi.resetModules();
  vi.stubGlobal("location", new URL("https://valet.test/"));
  vi.stubGlobal("fetch", async (request: Request, init?: RequestInit) => answer(init?.signal ?? request.signal));
  client = await import("./client.ts");
  ({ connection } = await import("./connection.ts"));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

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
  expect(error).toMatchObject({
    status: null,
    message: expect.stringContaining("Something other than Valet answered"),
  });
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
  expect(connection.read().state).toBe("live");
  answer = typed(502, "text/html", "<title>No server</title>");
  await expect(read()).rejects.toMatchObject({ status: 502 });
  expect(connection.read().state).toBe("offline");
});

test("a proxy that refuses a change is no lost connection: its status says what was wrong", async () => {
  const change = () => client.ok(client.api.POST("/api/sessions", { body: {} }));
  for (const [status, message] of [
    [413, "A proxy in front of Valet refused this as too large (413)."],
    [403, "A proxy in front of Valet refused this (403)."],
    [405, "The server answered 405, without a reason."],
  ] as const) {
    answer = typed(status, "text/html", "<title>Refused</title>");
    await expect(change()).rejects.toMatchObject({ status, message: expect.stringContaining(message) });
  }
  expect(connection.read().state).toBe("live");
  for (const status of [200, 401, 404]) {
    answer = typed(status, "text/html", "<title>Welcome</title>");
    await expect(change()).rejects.toMatchObject({ status: null });
  }
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

/** Answers when it is aborted, and not before. */
const never = (signal: AbortSignal) =>
  new Promise<Response>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });

test("a server that stands still is noticed, and a read that hangs is aborted", async () => {
  vi.useFakeTimers();
  answer = never;
  const hanging = expect(read()).rejects.toMatchObject({ name: "ApiError", status: null });
  await vi.advanceTimersByTimeAsync(14_000);
  expect(connection.read().state).toBe("live");
  await vi.advanceTimersByTimeAsync(2_000);
  expect(connection.read().state).toBe("offline");
  await vi.advanceTimersByTimeAsync(45_000);
  await hanging;
});

test("a server that stands still is noticed by a request that is sent in the moment of its last answer", async () => {
  vi.useFakeTimers();
  answer = typed(200, "application/json", '{"items":[]}');
  await read();
  answer = never;
  const hanging = expect(read()).rejects.toMatchObject({ status: null });
  await vi.advanceTimersByTimeAsync(16_000);
  expect(connection.read().state).toBe("offline");
  await vi.advanceTimersByTimeAsync(45_000);
  await hanging;
});

/** The beginning of an answer; the rest comes only if the reader waits for so long, ms. */
const begun = (restMs: number) => (signal: AbortSignal) =>
  typed(
    200,
    "application/json",
    new ReadableStream({
      start(controller) {
        signal.addEventListener("abort", () => controller.error(signal.reason));
        controller.enqueue(new TextEncoder().encode('{"items":'));
        setTimeout(() => controller.enqueue(new TextEncoder().encode("[]")), restMs / 2);
        setTimeout(() => {
          controller.enqueue(new TextEncoder().encode("}"));
          controller.close();
        }, restMs);
      },
    }),
  )();

test("an answer that stops in its middle is noticed, and its read is aborted", async () => {
  vi.useFakeTimers();
  answer = begun(600_000);
  const hanging = expect(read()).rejects.toMatchObject({ name: "ApiError", status: null });
  await vi.advanceTimersByTimeAsync(16_000);
  expect(connection.read().state).toBe("offline");
  await vi.advanceTimersByTimeAsync(45_000);
  await hanging;
});

test("an answer that comes slowly is read to its end", async () => {
  vi.useFakeTimers();
  answer = begun(100_000);
  const slow = expect(read()).resolves.toEqual({ items: [] });
  await vi.advanceTimersByTimeAsync(100_000);
  await slow;
  expect(connection.read().state).toBe("live");
});

test("an answer without content is one, also where the browser gives it an empty body", async () => {
  const empty = new Response(null, { status: 204 });
  Object.defineProperty(empty, "body", { value: new Blob([]).stream() });
  answer = () => empty;
  await expect(client.send(new Request("https://valet.test/", { method: "DELETE" }))).resolves.toMatchObject({
    status: 204,
  });
});

test("one slow answer among others is no lost connection, and a change is not aborted", async () => {
  vi.useFakeTimers();
  answer = never;
  const change = client.ok(client.api.POST("/api/sessions", { body: {} }));
  let hasEnded = false;
  const end = () => {
    hasEnded = true;
  };
  change.then(end, end);
  await vi.advanceTimersByTimeAsync(10_000);
  answer = typed(200, "application/json", '{"items":[]}');
  await read();
  await vi.advanceTimersByTimeAsync(600_000);
  expect([connection.read().state, hasEnded]).toEqual(["live", false]);
});

test("a read that its reader aborts says nothing of the server", async () => {
  answer = never;
  const reader = new AbortController();
  const left = client.ok(client.api.GET("/api/attention", { signal: reader.signal }));
  reader.abort();
  await expect(left).rejects.toMatchObject({ name: "AbortError" });
  expect(connection.read().state).toBe("live");
});
