/** A full disk. The texts are those of workerd (SQLite in an object, and local D1). */
import { createExecutionContext, runInDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { Problem } from "@valet/shared/http/problem";
import { expect, test, vi } from "vitest";
import { call, createSession, ORIGIN, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import { attributesOf, spansOf } from "../../test/otlp.ts";
import { createApp } from "./app.ts";
import { toApiError } from "./problem.ts";

const failed = (message: string, more: object = {}) => Object.assign(new Error(message), more);

test.each([
  failed("database or disk is full: SQLITE_FULL", { durableObjectReset: true }),
  failed("D1_ERROR: database or disk is full: SQLITE_FULL"),
  failed("D1_ERROR: Exceeded maximum DB size"),
  failed("ENOSPC: no space left on device, write", { code: "ENOSPC" }),
  failed("the session failed", { cause: failed("database or disk is full: SQLITE_FULL") }),
  failed("internal error; reference = h8ffp6uu38nnve8unp9rpojo", { remote: true, durableObjectReset: true }),
  failed("internal error; reference = h8ffp6uu38nnve8unp9rpojo", { remote: true }),
  // Of an object that was not in memory.
  failed("internal error; reference = js906hpu9oo35hvfn0eua6oq"),
  failed("D1_ERROR: disk I/O error: SQLITE_IOERR (extended: SQLITE_IOERR_SHMSIZE)"),
])("%s is a 507 with the reason, and with what became of the request", (error) => {
  const answers = ["POST", "PATCH", "DELETE", "GET", "HEAD"].map((method) => toApiError(error, method).problem);
  for (const problem of answers) {
    expect(problem).toMatchObject({ status: 507, type: "urn:valet:problem:storage-full" });
    expect(problem.detail).toMatch(/full/);
  }
  const [post, , , get, head] = answers.map(({ detail }) => detail);
  expect(post).toMatch(/This request was not stored.*send the request again/);
  expect(get).toMatch(/This request only reads.*no data is lost/);
  expect(get).not.toMatch(/not stored|send/);
  expect(head).toBe(get);
});

test.each([
  failed("Internal error: a queue is empty"),
  failed("Durable Object reset because its code was updated.", { durableObjectReset: true }),
  failed("a disk is a disk"),
])("%s is not a 507", (error) => {
  expect(toApiError(error, "POST").problem.status).not.toBe(507);
});

const ENDPOINT = "https://backend.test/v1/traces";

/** Sends a request to a Worker with a backend. Returns its answer, and the spans that the Worker itself sends to the backend. */
async function fetchTraced(path: string, init: RequestInit) {
  const sent: string[] = [];
  const others = globalThis.fetch;
  vi.stubGlobal("fetch", async (url: string | Request, options?: RequestInit) => {
    if (url !== ENDPOINT) return others(url, options);
    sent.push(await new Request(url, options).text());
    return new Response();
  });
  try {
    const env = {
      ...bindings,
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: ENDPOINT,
      OTEL_EXPORTER_OTLP_COMPRESSION: "none",
    };
    const ctx = createExecutionContext();
    const response = await createApp().fetch(new Request(ORIGIN + path, init), env, ctx);
    await waitOnExecutionContext(ctx);
    return { response, spans: sent.flatMap(spansOf) };
  } finally {
    vi.unstubAllGlobals();
  }
}

test("a message is refused when the disk is full, the session loses nothing, and the request's span reaches the backend", async () => {
  const token = await signIn();
  const { id } = await createSession(token, { prompt: "first" });
  const path = `/api/sessions/${id}/messages`;
  const stub = bindings.SESSION_AGENT.get(bindings.SESSION_AGENT.idFromName(id));
  // SQLite reports this once a database may not grow.
  const full = await runInDurableObject(stub, (_object, { storage }) => {
    const transaction = vi.spyOn(storage, "transactionSync").mockImplementation(() => {
      throw failed("database or disk is full: SQLITE_FULL");
    });
    return transaction;
  });
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  try {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const body = JSON.stringify({ id: "m", content: "second" });
    const { response, spans } = await fetchTraced(path, { method: "POST", headers, body });
    expect(response.status).toBe(507);
    expect(Problem.parse(await response.json()).type).toBe("urn:valet:problem:storage-full");
    // The session cannot store it.
    expect(spans).toMatchObject([{ name: "POST /api/sessions/:id/messages", status: { code: 2 } }]);
    expect(attributesOf(spans[0])).toMatchObject({
      "http.response.status_code": "507",
      "error.type": "507",
      "valet.session.id": id,
    });
    expect(log.mock.calls.flat().join("\n")).toContain("is full");
  } finally {
    full.mockRestore();
    log.mockRestore();
  }
  const shown = async () => {
    const { messages } = (await (await call("GET", path, { token })).json()) as { messages: { content: string }[] };
    return messages.map(({ content }) => content);
  };
  expect(await shown()).toEqual(["first"]);
  expect((await call("POST", path, { token, body: { id: "m", content: "second" } })).status).toBe(202);
  expect(await shown()).toEqual(["first", "second"]);
});

test("a list that cannot be read because D1 is full does not say that it was not stored", async () => {
  const token = await signIn();
  const DB = {
    prepare: (query: string) => {
      if (!/FROM sessions/i.test(query)) return bindings.DB.prepare(query);
      throw failed("D1_ERROR: database or disk is full: SQLITE_FULL");
    },
    batch: bindings.DB.batch.bind(bindings.DB),
  };
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const ctx = createExecutionContext();
  const headers = { authorization: `Bearer ${token}` };
  const response = await createApp().fetch(
    new Request(`${ORIGIN}/api/sessions`, { headers }),
    { ...bindings, DB } as never,
    ctx,
  );
  await waitOnExecutionContext(ctx);
  log.mockRestore();
  expect(response.status).toBe(507);
  expect(Problem.parse(await response.json()).detail).toMatch(/only reads/);
});

test("so is a ticket when D1 is full", async () => {
  const token = await signIn();
  const { id } = await createSession(token);
  const DB = {
    prepare: bindings.DB.prepare.bind(bindings.DB),
    batch: () => Promise.reject(failed("D1_ERROR: database or disk is full: SQLITE_FULL")),
  };
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const request = new Request(`${ORIGIN}/api/tickets`, {
    method: "POST",
    headers,
    body: JSON.stringify({ sessionId: id }),
  });
  const ctx = createExecutionContext();
  const response = await createApp().fetch(request, { ...bindings, DB } as never, ctx);
  await waitOnExecutionContext(ctx);
  expect(response.status).toBe(507);
});
