/** What sandboxes in containers can reach by the bridge, and what they cannot. */
import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BridgeServer, startBridgeServer } from "./bridge-server.ts";

let bridge: BridgeServer;
let worker: Server;
let model: Server;
const seen: string[] = [];

beforeAll(async () => {
  worker = createServer((incoming, outgoing) => {
    seen.push(`worker ${incoming.method} ${incoming.url}`);
    outgoing.writeHead(426, { "x-from": "worker" }).end("Upgrade Required");
  });
  worker.on("upgrade", (incoming, socket, head) => {
    seen.push(`upgrade ${incoming.url} ${incoming.headers.authorization}`);
    if (incoming.url?.includes("refused"))
      return void socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello ");
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  });
  model = createServer(async (incoming, outgoing) => {
    seen.push(`model ${incoming.method} ${incoming.url} ${await text(incoming)}`);
    outgoing.writeHead(200, { "content-type": "text/event-stream" });
    outgoing.write("data: 1\n\n");
    outgoing.end("data: 2\n\n");
  });
  for (const server of [worker, model]) await once(server.listen(0, "127.0.0.1"), "listening");
  bridge = await startBridgeServer("127.0.0.1");
});
afterAll(async () => {
  await bridge.close();
  for (const server of [worker, model]) server.close();
});

const portOf = (server: Server) => (server.address() as AddressInfo).port;

/** Sends bytes as they are, since a client would mend the path. */
async function raw(head: string, rest = ""): Promise<string> {
  const socket = connect(Number(new URL(bridge.url).port), "127.0.0.1");
  socket.write(`${head}\r\nHost: bridge\r\n${rest}\r\n\r\n`);
  let answer = "";
  for await (const chunk of socket) {
    answer += chunk;
    if (answer.includes("\r\n\r\n") && answer.startsWith("HTTP/1.1 101")) {
      if (answer.endsWith("hello ")) socket.write("echo");
      if (answer.endsWith("echo")) break;
    }
  }
  return answer;
}
const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer t";

test("before the Worker runs a runner is refused, and retries", async () => {
  expect(await raw("GET /runner/ses_1 HTTP/1.1", UPGRADE)).toMatch(/^HTTP\/1\.1 404/);
  bridge.setWorker(portOf(worker));
});

test("a runner's WebSocket passes with its headers, in both directions, and its refusal with the reason", async () => {
  const answer = await raw("GET /runner/ses_1?v=1 HTTP/1.1", UPGRADE);
  expect(answer).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n[\s\S]*\r\n\r\nhello echo$/);
  expect(seen).toContain("upgrade /runner/ses_1?v=1 Bearer t");
  expect(await raw("GET /runner/refused HTTP/1.1", UPGRADE)).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n[\s\S]*no$/);
});

test.each([
  "GET /api/health HTTP/1.1",
  "GET / HTTP/1.1",
  "GET /runner/ HTTP/1.1",
  "GET /runner/../api/sessions HTTP/1.1",
  "GET /runner/%2e%2e/api/sessions HTTP/1.1",
  "GET /runner/ses_1/../../api/sessions HTTP/1.1",
  "GET /runner/ses_1/x HTTP/1.1",
  "HEAD /runner/ses_1 HTTP/1.1",
  "POST /runner/ses_1 HTTP/1.1",
  "GET //runner/ses_1 HTTP/1.1",
  "GET http://other/runner/ses_1 HTTP/1.1",
  "GET /model/v1/models HTTP/1.1",
  "GET /model/../../api HTTP/1.1",
])("%s leads nowhere", async (head) => {
  const before = seen.length;
  expect(await raw(head, "Connection: close")).toMatch(/^HTTP\/1\.1 404/);
  expect(await raw(head, UPGRADE)).toMatch(/^HTTP\/1\.1 404/);
  expect(seen).toHaveLength(before);
});

test("a model on this machine is offered below its endpoint, streamed, and nothing else of its server; any other is left as it is", async () => {
  expect(bridge.offerModel("https://models.example.com/v1")).toBe("https://models.example.com/v1");
  const offered = bridge.offerModel(`http://127.0.0.1:${portOf(model)}/v1`);
  expect(offered).toBe(`${bridge.url}/model`);
  const answer = await fetch(`${offered}/chat/completions?a=b`, { method: "POST", body: "asked" });
  expect([answer.status, await answer.text()]).toEqual([200, "data: 1\n\ndata: 2\n\n"]);
  expect(seen.at(-1)).toBe("model POST /v1/chat/completions?a=b asked");
  const before = seen.length;
  for (const path of ["/model/../admin", "/model/%2e%2e/admin", "/model", "/models"]) {
    expect(await raw(`GET ${path} HTTP/1.1`, "Connection: close"), path).toMatch(/^HTTP\/1\.1 404/);
  }
  expect(seen).toHaveLength(before);
});

test("a model that is away is a bad gateway, and a client that leaves ends its request", async () => {
  bridge.offerModel("http://127.0.0.1:1/v1");
  expect((await fetch(`${bridge.url}/model/models`)).status).toBe(502);
  const hanging = createServer((_, outgoing) => void outgoing.write("begun"));
  await once(hanging.listen(0, "127.0.0.1"), "listening");
  bridge.offerModel(`http://127.0.0.1:${portOf(hanging)}`);
  const asked = once(hanging, "request");
  const client = request(`${bridge.url}/model/x`).end();
  client.on("error", () => {});
  const [incoming] = await asked;
  const closed = once(incoming.socket, "close");
  client.destroy();
  await closed;
  hanging.close();
});

const hidden = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
/** A request's body in one chunk. */
const CHUNKED = `Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0`;

test("no path leads to another server than the model's, nor above its endpoint", async () => {
  bridge.offerModel(`http://127.0.0.1:${portOf(model)}`);
  const before = seen.length;
  await raw(`GET /model//127.0.0.1:${portOf(worker)}/api/health HTTP/1.1`, "Connection: close");
  await raw(`GET /model/\\127.0.0.1:${portOf(worker)}/api/health HTTP/1.1`, "Connection: close");
  const path = `//127.0.0.1:${portOf(worker)}/api/health`;
  expect(seen.slice(before)).toEqual([`model GET ${path} `, `model GET ${path} `]);
  for (const climbing of ["..%2fadmin", "x%2F..%2f..%2Fadmin", "%2e%2E%2fadmin", "..%5cadmin", "..;/admin"]) {
    expect(await raw(`GET /model/${climbing} HTTP/1.1`, "Connection: close"), climbing).toMatch(/^HTTP\/1\.1 404/);
  }
  expect(seen).toHaveLength(before + 2);
});

test("a request in the body of another stays its body, and a runner's path has only its WebSocket", async () => {
  bridge.offerModel(`http://127.0.0.1:${portOf(model)}/v1`);
  const before = seen.length;
  for (const method of ["GET", "DELETE", "OPTIONS", "POST"]) {
    expect(await raw(`${method} /model/x HTTP/1.1`, CHUNKED)).toMatch(/^HTTP\/1\.1 200/);
  }
  expect(seen.slice(before)).toEqual(
    ["GET", "DELETE", "OPTIONS", "POST"].map((method) => `model ${method} /v1/x ${hidden}`),
  );
  expect(await raw("GET /runner/ses_1 HTTP/1.1", CHUNKED)).toMatch(/^HTTP\/1\.1 404/);
  await raw("GET /runner/refused HTTP/1.1", `${UPGRADE}\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`);
  expect(seen.slice(before + 4)).toEqual(["upgrade /runner/refused Bearer t"]);
});

test("one address has at most 256 connections at once", async () => {
  const port = Number(new URL(bridge.url).port);
  const open = Array.from({ length: 256 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  await Promise.all(open.map((socket) => once(socket, "connect")));
  const refused = connect(port, "127.0.0.1");
  refused.on("error", () => {});
  await once(refused, "close");
  for (const socket of open) socket.destroy();
  await expect.poll(() => raw("GET / HTTP/1.1", "Connection: close").catch(() => "")).toMatch(/^HTTP\/1\.1 404/);
});
