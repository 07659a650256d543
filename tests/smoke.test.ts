import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiClient } from "../packages/cli/src/api-client.ts";
import { type System, startSystem } from "../packages/cli/src/system/system.ts";
import { startOtlpReceiver, type TraceReceiver } from "./otlp-receiver.ts";
import { type CommandResult, runCli } from "./valet-up.ts";

let stateDir: string;
let receiver: TraceReceiver;
let query: Server;
let queryUrl: string;
let system: System;

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "valet-smoke-"));
  receiver = await startOtlpReceiver();
  // Answers queries as Jaeger does, with the receiver's spans.
  query = createServer(({ url = "" }, response) => {
    const traceId = /^\/api\/traces\/(.*)/.exec(url)?.[1];
    const spans = receiver.spans().filter((span) => span.traceId === traceId);
    const errors = [{ code: 404, msg: "trace not found" }];
    if (traceId === undefined) response.writeHead(404).end("404 page not found");
    else if (spans.length === 0) response.writeHead(404).end(JSON.stringify({ data: null, errors }));
    else response.end(JSON.stringify({ data: [{ spans: spans.map(({ spanId }) => ({ spanID: spanId })) }] }));
  }).listen(0, "127.0.0.1");
  await once(query, "listening");
  queryUrl = `http://127.0.0.1:${(query.address() as AddressInfo).port}`;
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: "200" };
  system = await startSystem({ stateDir, scenario: "demo", env });
}, 60_000);

afterAll(async () => {
  await system?.stop();
  await receiver?.close();
  query?.closeAllConnections();
  query?.close();
  rmSync(stateDir, { recursive: true, force: true });
});

function smoke(...args: string[]): Promise<CommandResult> {
  return runCli(["--url", system.url, "--token", system.token, "--json", "smoke", ...args]);
}

test("a wrong query URL ends the command before it creates a session", async () => {
  const { code, stdout, stderr } = await smoke("--jaeger-url", `${queryUrl}/elsewhere`);
  expect(JSON.parse(stdout)).toEqual({
    error: {
      type: expect.any(String),
      message: expect.stringContaining(`Jaeger: ${queryUrl}/elsewhere/api/traces answers HTTP 404.`),
    },
  });
  expect(stderr).toBe("");
  expect(code).toBe(2);
  expect(await new ApiClient(system).sessions()).toEqual([]);
}, 30_000);

test("finds every span of a turn in the session and at the backend, and ends the session", async () => {
  const { code, stdout, stderr } = await smoke("--jaeger-url", queryUrl, "--timeout", "60");
  const { ok, checks } = JSON.parse(stdout);
  const count = checks[2].detail;
  expect(checks, stderr).toEqual([
    { name: "session", ok: true, detail: expect.stringMatching(/^ses_/) },
    { name: "turn", ok: true, detail: "ok" },
    { name: "spans in the session", ok: true, detail: expect.stringMatching(/^\d+$/) },
    { name: "spans in Jaeger", ok: true, detail: `${count} of ${count}` },
  ]);
  expect(Number(count)).toBeGreaterThanOrEqual(8);
  expect(ok).toBe(true);
  expect(code).toBe(0);
  const { status } = await new ApiClient(system).session(checks[0].detail);
  expect(status).toMatch(/^terminat/);
}, 150_000);
