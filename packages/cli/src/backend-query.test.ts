import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { BackendQuery, readSpanIds } from "./backend-query.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID = "00f067aa0ba902b7";
const PARENT_ID = "53995c3f42cd8ad8";

/** A span with a parent and a link, in the form of each backend. */
const JAEGER = {
  data: [
    {
      traceID: TRACE_ID,
      spans: [
        {
          traceID: TRACE_ID,
          spanID: SPAN_ID,
          operationName: "valet.turn",
          references: [{ refType: "CHILD_OF", traceID: TRACE_ID, spanID: PARENT_ID }],
        },
      ],
    },
  ],
  errors: null,
};
const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");
const TEMPO = {
  batches: [
    {
      resource: { attributes: [] },
      scopeSpans: [
        {
          scope: { name: "@valet/runner" },
          spans: [
            {
              traceId: base64(TRACE_ID),
              spanId: base64(SPAN_ID),
              parentSpanId: base64(PARENT_ID),
              name: "valet.turn",
              links: [{ traceId: base64(TRACE_ID), spanId: base64(PARENT_ID) }],
            },
          ],
        },
      ],
    },
  ],
};

describe("span ids", () => {
  test.each([
    ["Jaeger", JAEGER],
    ["Tempo", TEMPO],
  ] as const)("of %s are those of the trace's spans, without those of parents and links", (kind, answer) => {
    expect(readSpanIds(kind, answer)).toEqual(new Set([SPAN_ID]));
  });

  test("are empty while the backend does not have the trace", () => {
    expect(readSpanIds("Jaeger", { data: [] })).toEqual(new Set());
    expect(readSpanIds("Tempo", {})).toEqual(new Set());
  });

  test.each([null, "text", 3, [], { data: [{ spans: [{ spanID: 7 }] }] }, { data: null }])(
    "are unknown in %j",
    (answer) => {
      expect(readSpanIds("Jaeger", answer)).toBeUndefined();
    },
  );

  test("are unknown in the answer of the other backend", () => {
    expect(readSpanIds("Jaeger", TEMPO)).toBeUndefined();
    expect(readSpanIds("Tempo", JAEGER)).toBeUndefined();
  });
});

describe("a query", () => {
  const servers: Server[] = [];

  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
  });

  /** Starts a backend that gives one answer. @returns its URL, and the requests that it received */
  async function backend(status: number, body: string): Promise<{ url: string; requests: string[] }> {
    const requests: string[] = [];
    const server = createServer(({ url, headers }, response) => {
      requests.push(`${url} ${headers.authorization}`);
      response.writeHead(status, { location: "/login" }).end(body);
    }).listen(0, "127.0.0.1");
    servers.push(server);
    await once(server, "listening");
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
  }

  const query = (url: string) => new BackendQuery({ kind: "Jaeger", url, authorization: undefined });

  test("sends its request to a path below the URL, with the key", async () => {
    const { url, requests } = await backend(200, JSON.stringify(JAEGER));
    const jaeger = new BackendQuery({ kind: "Jaeger", url: `${url}/jaeger/`, authorization: "Basic a2V5" });
    expect(await jaeger.trace(TRACE_ID)).toEqual({ spanIds: new Set([SPAN_ID]) });
    expect(requests).toEqual([`/jaeger/api/traces/${TRACE_ID} Basic a2V5`]);
  });

  test("treats 404 for an unknown trace as a healthy backend", async () => {
    const { url } = await backend(404, '{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}');
    expect(await query(url).trace(TRACE_ID)).toEqual({ spanIds: new Set() });
    await query(url).check();
  });

  test.each<[status: number, body: string, problem: string]>([
    [401, "", "answers HTTP 401"],
    [302, "", "answers HTTP 302"],
    [503, "{}", "answers HTTP 503"],
    [404, "404 page not found", "answers HTTP 404"],
    [200, "<!doctype html>", "is not Jaeger: its answer is not JSON"],
    [200, "{}", "is not Jaeger"],
  ])("reports the problem of HTTP %i %s", async (status, body, problem) => {
    const { url } = await backend(status, body);
    expect(await query(url).trace(TRACE_ID)).toEqual({ spanIds: new Set(), problem: `${url}/api/traces ${problem}` });
    await expect(query(url).check()).rejects.toThrow(`Jaeger: ${url}/api/traces ${problem}.`);
  });

  describe("of Tempo", () => {
    const tempo = (url: string) => new BackendQuery({ kind: "Tempo", url, authorization: "Basic a2V5" });

    /** Starts a server that answers by path. */
    async function server(paths: Record<string, [status: number, body: string]>, other: [number, string] = [404, ""]) {
      const listening = createServer(({ url = "" }, response) => {
        const [status, body] = Object.entries(paths).find(([path]) => url.startsWith(path))?.[1] ?? other;
        response.writeHead(status).end(body);
      }).listen(0, "127.0.0.1");
      servers.push(listening);
      await once(listening, "listening");
      return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
    }

    test("is healthy when an unknown trace is a 404 and the echo answers", async () => {
      const url = await server({ "/tempo/api/traces/": [404, ""], "/tempo/api/echo": [200, "echo"] });
      await tempo(`${url}/tempo/`).check();
      expect(await tempo(`${url}/tempo`).trace(TRACE_ID)).toEqual({ spanIds: new Set() });
    });

    test.each<[string, [number, string]]>([
      ["a page", [404, "<html>Not Found</html>"]],
      ["Go's own text", [404, "404 page not found\n"]],
      ["Jaeger's JSON", [404, '{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}']],
    ])("is not Tempo when a 404 has %s as its body", async (_what, answer) => {
      const url = await server({}, answer);
      await expect(tempo(url).check()).rejects.toThrow(`Tempo: ${url}/api/traces answers HTTP 404.`);
    });

    test("is not Tempo when every path is an empty 404", async () => {
      const url = await server({});
      const problem = `Tempo: ${url}/api/echo answers HTTP 404: is this the URL of Tempo's query API?`;
      await expect(tempo(url).check()).rejects.toThrow(new RegExp(`^${problem.replaceAll(/[.?]/g, "\\$&")}$`));
    });

    test("is not Tempo when something else answers the echo", async () => {
      const url = await server({ "/api/echo": [200, "<html>"] });
      await expect(tempo(url).check()).rejects.toThrow("does not answer as Tempo does");
    });
  });

  test("reports that nothing listens", async () => {
    const { url } = await backend(200, "");
    await new Promise((closed) => servers.pop()?.close(closed));
    await expect(query(url).check()).rejects.toThrow(`${url}/api/traces does not answer (ECONNREFUSED).`);
  });

  test.each(["", "jaeger:16686", "ftp://jaeger", "http://user:secret@jaeger"])("refuses the URL %j", (url) => {
    expect(() => query(url)).toThrow("must be an http or https URL, without user and password");
  });
});
