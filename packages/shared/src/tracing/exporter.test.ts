import { describe, expect, test } from "vitest";
import { type Answer, scriptBackend } from "../../test/backend-client.ts";
import { endedSpan } from "../../test/spans.ts";
import { type ExporterOptions, OtlpExporter, type SendResult } from "./exporter.ts";

const RESOURCE = { "service.name": "test" };

async function sendTo(answer: Answer, options: Partial<ExporterOptions> = {}) {
  const backend = await scriptBackend(answer);
  const exporter = new OtlpExporter({ url: backend.url, ...options });
  const batch = await exporter.encode(RESOURCE, [endedSpan()]);
  if (batch === undefined) throw new Error("nothing to send");
  const result = await exporter.send(batch);
  await backend.letGo();
  return { result, batch, received: await backend.received() };
}

/** A `fetch` that fails before any connection. */
function failingFetch(error: unknown): typeof fetch {
  return () => {
    throw error;
  };
}

describe("R6 the request", () => {
  test("is a POST of JSON to the URL as it stands, with our User-Agent and the given headers", async () => {
    const { received } = await sendTo({ status: 200 }, { headers: { authorization: "Basic abc" } });
    expect(received).toHaveLength(1);
    const [request] = received;
    expect(request?.method).toBe("POST");
    expect(request?.path).toMatch(/\/v1\/traces$/);
    expect(request?.headers).toMatchObject({ "content-type": "application/json", authorization: "Basic abc" });
    expect(request?.headers["user-agent"]).toMatch(/^valet-otlp\//);
    expect(JSON.parse(request?.text ?? "")).toMatchObject({
      resourceSpans: [{ resource: { attributes: [{ key: "service.name", value: { stringValue: "test" } }] } }],
    });
  });

  test("cannot have its content type or encoding changed by configured headers", async () => {
    const headers = { "content-type": "text/plain" };
    const { received } = await sendTo({ status: 200 }, { headers });
    expect(received[0]?.headers["content-type"]).toBe("application/json");
  });
});

describe("R11 compression", () => {
  test("is gzip unless told otherwise", async () => {
    const { received, batch } = await sendTo({ status: 200 });
    expect(received[0]?.headers["content-encoding"]).toBe("gzip");
    expect([...batch.body.slice(0, 2)]).toEqual([0x1f, 0x8b]);
  });

  test("none sends plain JSON", async () => {
    const { received, batch } = await sendTo({ status: 200 }, { compression: "none" });
    expect(received[0]?.headers["content-encoding"]).toBeUndefined();
    expect(new TextDecoder().decode(batch.body)).toBe(received[0]?.text);
  });
});

describe("R7 statuses", () => {
  test.each([429, 502, 503, 504])("%i is to be tried again", async (status) => {
    const { result } = await sendTo({ status });
    expect(result).toEqual({ outcome: "retry", reason: `HTTP ${status}`, status });
  });

  test.each([400, 401, 403, 404, 408, 413, 500, 501, 505])("%i is final", async (status) => {
    const { result } = await sendTo({ status, body: "no" });
    expect(result).toEqual({ outcome: "refused", reason: `HTTP ${status}`, status });
  });

  test.each([200, 202, 204])("%i is success", async (status) => {
    const { result } = await sendTo({ status });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message: "" });
  });

  test("a redirect is not followed: it would take our headers along", async () => {
    const elsewhere = await scriptBackend({ status: 200 });
    const { result } = await sendTo({ status: 307, headers: { location: elsewhere.url } });
    expect(result.outcome).toBe("refused");
    expect(await elsewhere.received()).toEqual([]);
  });
});

describe("R8 Retry-After", () => {
  test.each([429, 502, 503, 504])("is honoured on %i, in seconds", async (status) => {
    const { result } = await sendTo({ status, headers: { "retry-after": "17" } });
    expect(result).toMatchObject({ outcome: "retry", retryAfterMs: 17_000 });
  });

  test("and as a date", async () => {
    const date = new Date(Date.now() + 60_000).toUTCString();
    const { result } = await sendTo({ status: 503, headers: { "retry-after": date } });
    expect(result.outcome === "retry" && result.retryAfterMs).toBeGreaterThan(50_000);
  });
});

describe("R9 partial success", () => {
  test.each([3, "3"])("counts rejected spans given as %j", async (rejectedSpans) => {
    const body = JSON.stringify({ partialSuccess: { rejectedSpans, errorMessage: "too old" } });
    const { result } = await sendTo({ status: 200, body });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 3, message: "too old" });
  });

  test("with nothing rejected is a warning", async () => {
    const body = JSON.stringify({ partialSuccess: { errorMessage: "use v2" } });
    const { result } = await sendTo({ status: 200, body });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message: "use v2" });
  });

  test.each(["[]", "null", "3", '{"partialSuccess":null}', '{"partialSuccess":{"rejectedSpans":-1}}', "{}"])(
    "%s rejects nothing",
    async (body) => {
      const { result } = await sendTo({ status: 200, body });
      expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message: "" });
    },
  );
});

describe("a broken backend", () => {
  const delivered = (why: string): SendResult => ({
    outcome: "delivered",
    rejectedSpans: 0,
    message: `unreadable answer: ${why}`,
  });

  test("R7 a reset connection is to be tried again", async () => {
    const { result } = await sendTo({ behaviour: "reset" });
    expect(result.outcome).toBe("retry");
  });

  test("R7 nobody listening is to be tried again", async () => {
    const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/v1/traces" });
    const result = await exporter.send({ body: new Uint8Array(1), gzip: false });
    expect(result.outcome).toBe("retry");
  });

  test("R11 a hang ends at the timeout and is to be tried again", async () => {
    const { result } = await sendTo({ behaviour: "hang" }, { timeoutMs: 50 });
    expect(result).toEqual({ outcome: "retry", reason: "timeout" });
  });

  test("a connection lost within a 200 has delivered", async () => {
    const { result } = await sendTo({ behaviour: "reset-after-head" });
    expect(result).toMatchObject({ outcome: "delivered", rejectedSpans: 0 });
  });

  test("a slow drip of an answer ends at the timeout and has delivered", async () => {
    const { result } = await sendTo({ behaviour: "drip" }, { timeoutMs: 100 });
    expect(result).toEqual(delivered("timeout"));
  });

  test("R10 an answer over 4 MiB is not read on", async () => {
    const { result } = await sendTo({ behaviour: "large" });
    expect(result).toEqual(delivered("RangeError"));
  });

  test("invalid JSON has delivered, with a warning", async () => {
    const { result } = await sendTo({ status: 200, body: "<html>" });
    expect(result).toEqual(delivered("SyntaxError"));
  });

  test.each([new Error("boom"), "boom", undefined, null])("a fetch that throws %s does not throw on", async (error) => {
    const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/", fetch: failingFetch(error) });
    const result = await exporter.send({ body: new Uint8Array(1), gzip: false });
    expect(result.outcome).toBe("retry");
    expect(JSON.stringify(result)).not.toContain("boom");
  });

  test("a fetch that fails without saying why has no connection", async () => {
    const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/", fetch: failingFetch(new Error("to 127.0.0.1")) });
    const result = await exporter.send({ body: new Uint8Array(1), gzip: false });
    expect(result).toEqual({ outcome: "retry", reason: "connection failed" });
  });

  test("a fetch that ignores its signal cannot outlast the timeout", async () => {
    const exporter = new OtlpExporter({
      url: "http://127.0.0.1:1/",
      timeoutMs: 20,
      fetch: () => new Promise(() => {}),
    });
    expect(await exporter.send({ body: new Uint8Array(1), gzip: false })).toMatchObject({ reason: "timeout" });
  });

  test("R12 the body of a refusal is given up, not left unread", async () => {
    let cancelled = false;
    const body = new ReadableStream({
      cancel: () => {
        cancelled = true;
      },
    });
    const exporter = new OtlpExporter({
      url: "http://127.0.0.1:1/",
      fetch: async () => new Response(body, { status: 400 }),
    });
    await exporter.send({ body: new Uint8Array(1), gzip: false });
    expect(cancelled).toBe(true);
  });
});

test("R10 a request over 64 MiB is not made", async () => {
  const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/" });
  const large = endedSpan({ attributes: { text: "x".repeat(65 * 1024 * 1024) } });
  expect(await exporter.encode(RESOURCE, [large])).toBeUndefined();
});
