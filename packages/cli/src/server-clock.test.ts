import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { ApiClient } from "./api-client.ts";
import { treeLines } from "./commands/trace.ts";
import { readSpans } from "./trace-tree.ts";

const MINUTE_MS = 60_000;
const AGE_MS = 90_000;

/** Returns a client of a server whose clock is another one than this machine's, with a span that is open for 90 s. */
async function clientOf(offsetMs: number): Promise<ApiClient> {
  const server = createServer((_request, response) => {
    const nowMs = Date.now() + offsetMs;
    const span = {
      traceId: "a".repeat(32),
      spanId: "b".repeat(16),
      name: "valet.turn",
      kind: 1,
      startTimeUnixNano: `${nowMs - AGE_MS}000000`,
      attributes: [],
    };
    response.setHeader("date", new Date(nowMs).toUTCString());
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({ resourceSpans: [{ resource: { attributes: [] }, scopeSpans: [{ scope: {}, spans: [span] }] }] }),
    );
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close().closeAllConnections());
  await once(server, "listening");
  return new ApiClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: "t" });
}

test.each([-10, 0, 10])(
  "an open span's age is by the server's clock, here %d minutes from this machine's",
  async (minutes) => {
    const api = await clientOf(minutes * MINUTE_MS);
    const spans = readSpans(await api.trace("ses_1", "a".repeat(32)));
    const age = /open 1 m (?:2[89]|3[0-5]) s/;
    expect(treeLines(spans, undefined, undefined, api.serverNow()).join("\n")).toMatch(age);
  },
);
