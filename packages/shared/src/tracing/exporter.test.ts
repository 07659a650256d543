import { describe, expect, test } from "vitest";
import { type Answer, scriptBackend } from "../../test/backend-client.ts";
import { endedSpan } from "../../test/spans.ts";
import type { SendResult } from "./answer.ts";
import { type ExporterOptions, OtlpExporter } from "./exporter.ts";

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

/** What the exporter makes of an answer. */
function judge(answer: Response): Promise<SendResult> {
  const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/", fetch: async () => answer });
  return exporter.send({ body: new Uint8Array(1), gzip: false });
}

/** As base64. */
async function gzip(text: string): Promise<string> {
  const stream = new Response(text).body!.pipeThrough(new CompressionStream("gzip"));
  return btoa(String.fromCharCode(...new Uint8Array(await new Response(stream).arrayBuffer())));
}

/** A `fetch` that fails before any connection. */
function failingFetch(error: unknown): typeof fetch {
  return () => {
    throw error;
  };
}

describe("R6 the request", () => {
  test("is a POST of JSON to the unchanged URL, with our User-Agent and the given headers", async () => {
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
  test("is gzip by default", async () => {
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
  test.each([429, 502, 503, 504])("%i is retryable", async (status) => {
    const { result } = await sendTo({ status });
    expect(result).toEqual({ outcome: "retry", reason: `HTTP ${status}`, status });
  });

  test.each([401, 403, 404, 405])("%i needs a person, so the batch is held", async (status) => {
    const { result } = await sendTo({ status, headers: { "retry-after": "0" }, body: "no" });
    expect(result).toEqual({ outcome: "held", reason: `HTTP ${status}`, status });
  });

  test.each([400, 408, 413, 415, 500, 501, 505])("%i is final", async (status) => {
    const { result } = await sendTo({ status, body: "no" });
    expect(result).toEqual({ outcome: "refused", reason: `HTTP ${status}`, status });
  });

  test.each([200, 202, 204])("%i is success", async (status) => {
    const { result } = await sendTo({ status });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message: "" });
  });

  test.each([301, 302, 303, 307, 308])(
    "a redirect (%i) is not followed, since it would send our headers elsewhere",
    async (status) => {
      const elsewhere = await scriptBackend({ status: 200 });
      const { result } = await sendTo({ status, headers: { location: elsewhere.url } });
      expect(result).toEqual({ outcome: "held", reason: `HTTP ${status}`, status });
      expect(await elsewhere.received()).toEqual([]);
    },
  );
});

describe("R7 a 2xx response is a backend's if it is empty, protobuf or a JSON object", () => {
  const delivered = { outcome: "delivered", rejectedSpans: 0, message: "" };
  const held = (status: number) => ({ outcome: "held", reason: "web page", status });
  const html = { "content-type": "text/html; charset=utf-8" };

  test.each<[string, number, Record<string, string>, string]>([
    ["a page", 200, html, "<!doctype html><title>Log in</title>"],
    ["a page by its header alone", 200, { "content-type": "Text/HTML" }, "Log in"],
    ["XHTML", 200, { "content-type": "application/xhtml+xml" }, ""],
    ["a page that says it is JSON", 200, { "content-type": "application/json" }, "<html>"],
    ["a page that says it is plain text, after blanks", 202, { "content-type": "text/plain" }, " \r\n\t<html>"],
    ["a page without a type, after a byte order mark", 200, {}, "\ufeff<html>"],
    ["after a byte order mark and blanks", 200, {}, "\ufeff \n <html>"],
    ["XML", 200, { "content-type": "application/xml" }, '<?xml version="1.0"?><Error/>'],
    ["an empty page", 200, html, ""],
    ["a page with JSON in it", 200, html, "{}"],
    ["a page of 201", 201, html, "<html>"],
  ])("%s is none, and the batch is held", async (_what, status, headers, body) => {
    const { result } = await sendTo({ status, headers, body });
    expect(result).toEqual(held(status));
  });

  test("a web page in UTF-16 is not", async () => {
    for (const bytes of [
      [0xff, 0xfe, 0x3c, 0, 0x68, 0],
      [0xfe, 0xff, 0, 0x3c, 0, 0x68],
    ]) {
      expect(await judge(new Response(Uint8Array.from(bytes)))).toEqual(held(200));
    }
  });

  test.each<[string, number, Record<string, string>, string]>([
    ["nothing", 200, {}, ""],
    ["nothing but blanks", 200, { "content-type": "application/json" }, " \n"],
    ["a 204, whatever its headers say of a body", 204, html, ""],
    ["an empty protobuf message", 200, { "content-type": "application/x-protobuf" }, ""],
    ["protobuf with an empty partial success", 200, { "content-type": "application/x-protobuf" }, "\n\0"],
    ["JSON of another kind", 200, { "content-type": "text/plain" }, '{"status":"ok"}'],
  ])("%s is one", async (_what, status, headers, body) => {
    const { result } = await sendTo({ status, headers, body });
    expect(result).toEqual(delivered);
  });

  const protobuf = { "content-type": "application/x-protobuf" };

  test("a partial success in protobuf is read, also where it could be a page's beginning", async () => {
    const body = Uint8Array.from([0x0a, 0x3c, 0x08, 0x05, 0x12, 0x38, ...new Uint8Array(56).fill(0x61)]);
    const result = await judge(new Response(body, { headers: protobuf }));
    expect(result).toEqual({ ...delivered, rejectedSpans: 5, message: "a".repeat(56) });
  });

  test("what is no protobuf is read as what it looks like, whatever its type says", async () => {
    const read = (body: string) => judge(new Response(body, { headers: protobuf }));
    expect(await read('{"partialSuccess":{"rejectedSpans":"2"}}')).toEqual({ ...delivered, rejectedSpans: 2 });
    expect(await read("<html>")).toEqual(held(200));
    expect(await read("OK")).toEqual({ ...delivered, message: "neither JSON nor protobuf", isUnexpected: true });
    // A partial success that is cut off.
    expect(await read("\n\u0005\b")).toMatchObject({ message: "neither JSON nor protobuf" });
  });

  test.each(["OK", "[]", "null", "3", '"{}"', '{"partialSuccess":{"rejectedSp', "\u001f\u008b\u0008"])(
    "%j is not, but it is no web page: delivered with a warning",
    async (body) => {
      const { result } = await sendTo({ status: 200, body });
      expect(result).toEqual({ ...delivered, message: "neither JSON nor protobuf", isUnexpected: true });
    },
  );

  test("a partial success that is gzip'd is read", async () => {
    const body = await gzip('{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}');
    const { result } = await sendTo({ status: 200, headers: { "content-encoding": "gzip" }, base64: body });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 2, message: "old" });
  });

  test("a gzip'd web page is not", async () => {
    const body = await gzip("<html>");
    const { result } = await sendTo({ status: 200, headers: { "content-encoding": "gzip" }, base64: body });
    expect(result).toEqual(held(200));
  });

  describe("an interrupted response", () => {
    const failing = (...chunks: string[]) =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          const next = chunks.shift();
          if (next === undefined) controller.error(new TypeError("lost"));
          else controller.enqueue(new TextEncoder().encode(next));
        },
      });

    test("is held if its first character is that of a web page", async () => {
      expect(await judge(new Response(failing(" ", " <html>")))).toEqual(held(200));
    });

    test("is held if its header is that of a web page", async () => {
      expect(await judge(new Response(failing(), { headers: html }))).toEqual(held(200));
    });

    test("is delivered if it is JSON", async () => {
      const result = await judge(new Response(failing('{"partial')));
      expect(result).toEqual({ ...delivered, message: "unreadable answer: TypeError", isUnread: true });
    });

    test("is cancelled if it is an endless web page", async () => {
      let cancelled = false;
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode("<html>")),
        cancel: () => {
          cancelled = true;
        },
      });
      expect(await judge(new Response(body))).toEqual(held(200));
      expect(cancelled).toBe(true);
    });
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

  test.each([
    '{"partialSuccess":null}',
    '{"partialSuccess":{}}',
    '{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}',
    '{"partialSuccess":{"rejectedSpans":"0","errorMessage":""}}',
    "{}",
    '{"accepted":true}',
    "\ufeff{}",
    " \n{}",
  ])("%s rejects nothing", async (body) => {
    const { result } = await sendTo({ status: 200, body });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message: "" });
  });
});

describe("R9 a partial success may be odd:", () => {
  const read = async (rejectedSpans: unknown) => {
    const { result } = await sendTo({ status: 200, body: JSON.stringify({ partialSuccess: { rejectedSpans } }) });
    return result;
  };

  test.each([1e30, "9223372036854775807", "1e3", Number.MAX_SAFE_INTEGER])("the count %j is a count", async (count) => {
    const rejectedSpans = Math.min(Number(count), Number.MAX_SAFE_INTEGER);
    expect(await read(count)).toEqual({ outcome: "delivered", rejectedSpans, message: "" });
  });

  test.each<unknown>([-1, "-5", 1.5, "many", "", true, [3], { n: 1 }, { toString: 1 }])(
    "%j is none, which is a warning",
    async (count) => {
      const message = expect.stringMatching(/^rejectedSpans is .*, which is no count$/);
      expect(await read(count)).toEqual({ outcome: "delivered", rejectedSpans: 0, message, isUncounted: true });
    },
  );
});

test.each<[unknown, string]>([
  [{ toString: 1, valueOf: 1 }, '{"toString":1,"valueOf":1}'],
  [["too", "old"], '["too","old"]'],
  [7, "7"],
  ["x".repeat(5000), "x".repeat(1000)],
])("R9 what is rejected counts, whatever the message is: %j", async (errorMessage, message) => {
  const body = JSON.stringify({ partialSuccess: { rejectedSpans: 3, errorMessage } });
  expect(await judge(new Response(body))).toEqual({ outcome: "delivered", rejectedSpans: 3, message });
});

describe("a broken backend", () => {
  const delivered = (why: string): SendResult => ({
    outcome: "delivered",
    rejectedSpans: 0,
    message: `unreadable answer: ${why}`,
    isUnread: true,
  });

  test("R7 a reset connection is retryable", async () => {
    const { result } = await sendTo({ behaviour: "reset" });
    expect(result.outcome).toBe("retry");
  });

  test("R7 a refused connection is retryable", async () => {
    const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/v1/traces" });
    const result = await exporter.send({ body: new Uint8Array(1), gzip: false });
    expect(result.outcome).toBe("retry");
  });

  test("R11 a hang ends at the timeout and is retryable", async () => {
    const { result } = await sendTo({ behaviour: "hang" }, { timeoutMs: 50 });
    expect(result).toEqual({ outcome: "retry", reason: "timeout" });
  });

  test("a connection lost within a 200 counts as delivered", async () => {
    const { result } = await sendTo({ behaviour: "reset-after-head" });
    expect(result).toMatchObject({ outcome: "delivered", rejectedSpans: 0 });
  });

  test("a slow response ends at the timeout and counts as delivered", async () => {
    const backend = await scriptBackend({ behaviour: "drip" });
    // Its head must arrive before the timeout on a machine that pauses, too.
    const answer = await fetch(backend.url, { method: "POST", body: "{}" });
    const exporter = new OtlpExporter({ url: backend.url, timeoutMs: 100, fetch: async () => answer });
    expect(await exporter.send({ body: new Uint8Array(1), gzip: false })).toEqual(delivered("timeout"));
    await backend.letGo();
  });

  test.each([
    ["JSON", "{ ", "more than 4 MiB of text"],
    ["blanks", " ", "more than 4 MiB of text"],
    ["text", "x", "neither JSON nor protobuf"],
  ])("R10 an endless response of %s is read only as far as needed, and is unexpected", async (_what, text, message) => {
    const chunk = new TextEncoder().encode(text + " ".repeat(64 * 1024));
    let chunks = 0;
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        chunks++;
        controller.enqueue(chunk);
      },
      cancel: () => {
        cancelled = true;
      },
    });
    const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/", fetch: async () => new Response(body) });
    const result = await exporter.send({ body: new Uint8Array(1), gzip: false });
    expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message, isUnexpected: true });
    expect(chunks).toBeLessThan(text === "x" ? 4 : 70);
    expect(cancelled).toBe(true);
  });

  test.each([new Error("boom"), "boom", undefined, null])(
    "a fetch that throws %s does not make send reject",
    async (error) => {
      const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/", fetch: failingFetch(error) });
      const result = await exporter.send({ body: new Uint8Array(1), gzip: false });
      expect(result.outcome).toBe("retry");
      expect(JSON.stringify(result)).not.toContain("boom");
    },
  );

  test("a fetch that fails without a code is a failed connection", async () => {
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

  test("R12 the body of a refusal is cancelled", async () => {
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

test("R10 a request over 64 MiB is not encoded", async () => {
  const exporter = new OtlpExporter({ url: "http://127.0.0.1:1/" });
  const large = endedSpan({ attributes: { text: "x".repeat(65 * 1024 * 1024) } });
  expect(await exporter.encode(RESOURCE, [large])).toBeUndefined();
});
