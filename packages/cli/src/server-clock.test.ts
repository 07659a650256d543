import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { ApiClient } from "./api-client.ts";
import { treeLines } from "./commands/trace.ts";
import { runProgram } from "./run-program.ts";
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

/** Runs a command beside an API whose clock is another one. Returns the requests that it got. */
async function requestsOf(
  offsetMs: number,
  ...args: string[]
): Promise<{ readonly url: string; readonly body: string }[]> {
  const requests: { readonly url: string; readonly body: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    requests.push({ url: request.url ?? "", body });
    response.setHeader("date", new Date(Date.now() + offsetMs).toUTCString());
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ status: "ok", turns: [], traces: [] }));
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close().closeAllConnections());
  await once(server, "listening");
  const writes = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write").mockReturnValue(true));
  await runProgram([...args, "--url", `http://127.0.0.1:${(server.address() as AddressInfo).port}`, "--token", "t"]);
  for (const write of writes) write.mockRestore();
  process.exitCode = undefined;
  return requests;
}

test.each([-10, 0, 10])(
  "an age that a person gives counts from the server's time, here %d minutes from this machine's",
  async (minutes) => {
    const serverMs = Date.now() + minutes * MINUTE_MS;
    const turns = await requestsOf(minutes * MINUTE_MS, "turns", "--from", "30m");
    const from = new URL(turns.at(-1)?.url ?? "", "http://valet.test").searchParams.get("from") ?? "";
    expect(Math.abs(Date.parse(from) - (serverMs - 30 * MINUTE_MS))).toBeLessThan(MINUTE_MS);

    const tokens = await requestsOf(minutes * MINUTE_MS, "token", "create", "ci", "--expires", "30m");
    const { expiresAt } = JSON.parse(tokens.at(-1)?.body ?? "");
    expect(Math.abs(Date.parse(expiresAt) - (serverMs + 30 * MINUTE_MS))).toBeLessThan(MINUTE_MS);
  },
);

test("without an age nobody is asked for the time", async () => {
  const requests = await requestsOf(0, "turns", "--from", "2026-11-29T00:00:00Z");
  expect(requests.map(({ url }) => url.split("?")[0])).not.toContain("/api/health");
});
