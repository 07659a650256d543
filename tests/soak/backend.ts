/** An OTLP backend that can refuse for a while, and keeps what it took as spans, each once. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { readSpans, type TraceSpan } from "../../packages/cli/src/trace-tree.ts";

export interface Backend {
  readonly url: string;
  readonly spans: ReadonlyMap<string, TraceSpan>;
  /** Requests that were refused. */
  readonly refused: () => number;
  /** Answers 503 from now on, for so long. */
  refuseFor(ms: number): void;
  close(): Promise<void>;
}

export async function startBackend(): Promise<Backend> {
  const spans = new Map<string, TraceSpan>();
  let refuseUntilMs = 0;
  let refused = 0;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (Date.now() < refuseUntilMs) {
      refused++;
      return response.writeHead(503).end();
    }
    const body = Buffer.concat(chunks);
    const text = (request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString();
    for (const span of readSpans(JSON.parse(text))) spans.set(span.spanId, span);
    return response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    refused: () => refused,
    refuseFor: (ms) => {
      refuseUntilMs = Date.now() + ms;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
