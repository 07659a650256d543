import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestProject } from "vitest/node";
import type { BrokerAnswer, ReceivedCall } from "./broker.ts";

/**
 * A scripted sandbox broker over real HTTP, one for the whole run. It speaks the contract of
 * packages/shared/src/protocol/sandbox-broker.ts and starts no process: the tests act as the runner. For each session,
 * `PUT /test/{session}` sets the answers to the next calls of a kind, `GET` returns the received calls, and `POST` releases held
 * calls. `GET /created` names the sessions that asked for a new sandbox. It is a backend for spans, too: `/otlp/{session}`.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = createScriptedBroker();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  project.provide("broker", `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

interface Script {
  readonly answers: Record<string, BrokerAnswer[]>;
  readonly received: ReceivedCall[];
  readonly held: (() => void)[];
}

function createScriptedBroker(): Server {
  const scripts = new Map<string, Script>();
  const scriptOf = (session: string): Script => {
    const script = scripts.get(session) ?? { answers: {}, received: [], held: [] };
    scripts.set(session, script);
    return script;
  };
  const created: string[] = [];
  let made = 0;
  return createServer(async (request, response) => {
    const text = await textOf(request).catch(() => undefined);
    if (text === undefined) return;
    const { method = "", url = "" } = request;
    const control = /^\/test\/(.+)$/.exec(url)?.[1];
    if (control !== undefined) return serveTest(scriptOf(control), method, text, response);

    if (url === "/created") return void response.end(JSON.stringify(created));
    const exporter = /^\/otlp\/(.+)\/v1\/traces$/.exec(url)?.[1];
    if (exporter !== undefined) {
      const received = { call: "export", path: url, headers: request.headers as Record<string, string> } as const;
      scriptOf(exporter).received.push(received);
      return void response.writeHead(200, { "content-type": "application/json" }).end("{}");
    }
    const body = text === "" ? undefined : JSON.parse(text);
    const script = scriptOf(body?.sessionId ?? request.headers["valet-session-id"] ?? "");
    const call = callOf(method, url, body);
    if (call === "create") created.push(body.sessionId);
    script.received.push({ call, path: url, body, headers: request.headers as Record<string, string> });
    const answer = script.answers[call]?.shift() ?? {};
    if (answer.hold) await new Promise<void>((resolve) => script.held.push(resolve));
    if (answer.reset) return response.destroy();
    const [status, value] = answer.problem
      ? [
          answer.problem.status,
          { type: `urn:valet:broker:${answer.problem.code}`, title: "scripted", ...answer.problem },
        ]
      : succeed(call, body, ++made, url, answer);
    const spans = spansOf(request.headers, script);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ ...value, ...spans }));
  });
}

function serveTest(script: Script, method: string, text: string, response: ServerResponse): void {
  if (method === "PUT") Object.assign(script.answers, JSON.parse(text));
  if (method === "POST") for (const letGo of script.held.splice(0)) letGo();
  response.end(JSON.stringify({ received: script.received, held: script.held.length }));
}

function callOf(method: string, url: string, body: { snapshotId?: string } | undefined): ReceivedCall["call"] {
  if (method === "GET") return url.startsWith("/v1/sandboxes/") ? "get" : "list";
  if (method === "DELETE") return url.startsWith("/v1/snapshots/") ? "deleteSnapshot" : "terminate";
  if (url.endsWith("/snapshot")) return "snapshot";
  return body?.snapshotId === undefined ? "create" : "restore";
}

function succeed(
  call: ReceivedCall["call"],
  body: Record<string, unknown>,
  made: number,
  url: string,
  { sandbox: found, leftOut }: BrokerAnswer,
): [number, object] {
  if (call === "list") return [200, { sandboxes: [] }];
  if (call === "get") {
    const sandbox = { id: url.split("/").at(-1), sessionId: "any", generation: 1, driver: "local", restartCount: 0 };
    return [200, { sandbox: { ...sandbox, createdAt: new Date().toISOString(), state: "running", ...found } }];
  }
  if (call === "snapshot") return [201, { snapshotId: `snp_${made}`, sizeBytes: 1234, leftOut }];
  if (call === "terminate" || call === "deleteSnapshot") return [200, { alreadyGone: false }];
  const { sessionId, generation, snapshotId } = body;
  const sandbox = { id: `sbx_${made}`, sessionId, generation, snapshotId, state: "running", driver: "local" };
  return [201, { sandbox: { ...sandbox, createdAt: new Date().toISOString(), restartCount: 0, ...found } }];
}

/** Returns one SERVER span of the broker as a child of the caller's span; nothing without a caller. */
function spansOf(headers: IncomingMessage["headers"], script: Script): { spans?: string } {
  const [, traceId, parentSpanId] = /^00-(\w{32})-(\w{16})-/.exec(String(headers.traceparent)) ?? [];
  const session = headers["valet-session-id"];
  if (traceId === undefined || session === undefined) return {};
  const nanos = `${Date.now()}000000`;
  const spanId = (script.received.length + 0x1000).toString(16).padStart(16, "b");
  const span = {
    traceId,
    spanId,
    parentSpanId,
    name: "POST /v1/sandboxes",
    kind: 2,
    flags: 0x301,
    startTimeUnixNano: nanos,
    endTimeUnixNano: nanos,
    status: {},
    attributes: [{ key: "valet.session.id", value: { stringValue: session } }],
  };
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "valet-broker" } }] };
  return {
    spans: JSON.stringify({
      resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "broker" }, spans: [span] }] }],
    }),
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
