/** The broker's client against invalid answers. Valid answers are tested with the lifecycle. */
import { INVALID_CONTEXT } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { SandboxBroker } from "./client.ts";

const CALLER = { sessionId: "ses_1", context: { ...INVALID_CONTEXT, traceId: "a".repeat(32), spanId: "b".repeat(16) } };

function brokerThat(answer: (request: Request) => Response | Promise<Response>, timeoutMs = 5000) {
  const seen: Request[] = [];
  const broker = new SandboxBroker({
    url: "http://broker.test",
    secret: "secret",
    timeoutMs,
    snapshotMs: 3 * timeoutMs,
    fetch: async (input, init) => {
      const request = new Request(input as string, init as RequestInit);
      seen.push(request);
      return answer(request);
    },
  });
  return { broker, seen };
}

describe("an invalid answer", () => {
  test.each([
    ["an empty body", () => new Response(null, { status: 201 }), 201, "broker_error"],
    ["an HTML page", () => new Response("<html>", { status: 200 }), 200, "broker_error"],
    ["the wrong fields", () => Response.json({ snapshot: 1 }), 200, "broker_error"],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { location: "http://elsewhere.test" } }),
      302,
      "broker_error",
    ],
    ["an error without a problem", () => new Response("no", { status: 500 }), 500, "broker_error"],
    ["a proxy without the broker", () => new Response("<html>Bad gateway", { status: 502 }), 502, "broker_unreachable"],
    ["a tunnel without the broker", () => new Response("error code: 1033", { status: 530 }), 530, "broker_unreachable"],
    ["a proxy whose broker hangs", () => new Response("timeout", { status: 504 }), 504, "broker_timeout"],
    ["an endless body", () => new Response(new Blob([new Uint8Array(3 * 1024 * 1024)])), 200, "broker_error"],
  ] as const)("%s", async (_name, answer, status, failure) => {
    const { broker } = brokerThat(answer);
    expect(await broker.snapshot("sbx_1", CALLER)).toMatchObject({ ok: false, status, failure });
  });

  test("a missing answer, or one after the timeout", async () => {
    const refused = brokerThat(() => Promise.reject(new TypeError("connection refused")));
    expect(await refused.broker.terminate("sbx_1", "", CALLER)).toMatchObject({
      ok: false,
      failure: "broker_unreachable",
    });
    const slow = brokerThat(
      ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      20,
    );
    expect(await slow.broker.terminate("sbx_1", "", CALLER)).toMatchObject({ ok: false, failure: "broker_timeout" });
  });
});

test("a problem keeps its code and the broker's spans; an unknown code becomes an internal error", async () => {
  const problem = (code: string) =>
    brokerThat(() => Response.json({ type: "t", title: "t", status: 409, code, spans: "{}" }, { status: 409 }));
  const known = await problem("sandbox_gone").broker.snapshot("sbx_1", CALLER);
  expect(known).toMatchObject({ ok: false, status: 409, failure: "sandbox_gone", spans: "{}" });
  expect(await problem("from_the_future").broker.snapshot("sbx_1", CALLER)).toMatchObject({ failure: "internal" });
});

test("a call carries the secret, the session and the trace; an id cannot change the path", async () => {
  const { broker, seen } = brokerThat(() => Response.json({ alreadyGone: true }));
  expect(await broker.terminate("../health", "sn&1", CALLER)).toMatchObject({ ok: true, value: { alreadyGone: true } });
  const [request] = seen;
  expect(request?.method).toBe("DELETE");
  const { pathname, search } = new URL(request?.url ?? "");
  expect([pathname, search]).toEqual(["/v1/sandboxes/..%2Fhealth", "?keeps=sn%261"]);
  const headers = Object.fromEntries(request?.headers ?? []);
  expect(headers).toMatchObject({ authorization: "Bearer secret", "valet-session-id": "ses_1" });
  expect(headers).toMatchObject({ "valet-limit-ms": "4000" });
  expect(headers.traceparent).toContain(CALLER.context.traceId);
});
