import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import type { TestProject } from "vitest/node";
import type { Answer, ReceivedRequest } from "./backend-client.ts";

/**
 * A scripted OTLP backend over real HTTP, one for the whole run and apart from it, so that tests inside workerd reach it
 * too. `PUT /{name}` sets the answers of `POST /{name}/v1/traces` in order, the last one repeating; `GET /{name}` tells
 * what came in; `DELETE /{name}` lets go of the connections that hang.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = createScriptedBackend();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  project.provide("backend", `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

const DRIP_MS = 5;

interface Script {
  answers: Answer[];
  received: ReceivedRequest[];
  hanging: Set<ServerResponse>;
}

function createScriptedBackend(): Server {
  const scripts = new Map<string, Script>();
  return createServer(async (request, response) => {
    const name = (request.url ?? "").split("/")[1] ?? "";
    const body = await bytesOf(request).catch(() => undefined);
    if (body === undefined) return;
    const script = scripts.get(name);
    if (request.method === "PUT") {
      scripts.set(name, { answers: JSON.parse(body.toString()), received: [], hanging: new Set() });
      response.end();
    } else if (script === undefined) {
      response.writeHead(404).end();
    } else if (request.method === "GET") {
      response.end(JSON.stringify(script.received));
    } else if (request.method === "DELETE") {
      for (const each of script.hanging) each.destroy();
      response.end();
    } else {
      receive(script, request, body);
      answer(script, response);
    }
  });
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function receive(script: Script, request: IncomingMessage, body: Buffer): void {
  const { method = "", url = "", headers } = request;
  const text = (headers["content-encoding"] === "gzip" ? gunzipSync(body) : body).toString();
  script.received.push({ method, path: url, headers: headers as Record<string, string>, atMs: Date.now(), text });
}

function answer(script: Script, response: ServerResponse): void {
  const next = (script.answers.length > 1 ? script.answers.shift() : script.answers[0]) ?? { status: 200 };
  if ("behaviour" in next) {
    misbehave(next.behaviour, script, response);
  } else {
    const body = next.base64 === undefined ? next.body : Buffer.from(next.base64, "base64");
    response.writeHead(next.status, next.headers).end(body);
  }
}

function misbehave(behaviour: string, script: Script, response: ServerResponse): void {
  if (behaviour === "reset") {
    response.destroy();
  } else if (behaviour === "reset-after-head") {
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  } else {
    script.hanging.add(response);
    if (behaviour === "drip") {
      response.writeHead(200);
      const drip = setInterval(() => response.write(" "), DRIP_MS);
      response.on("close", () => clearInterval(drip));
    }
  }
}
