/**
 * What sandboxes in containers can reach of this machine, at its address on their bridge: the runners' WebSocket of the Worker, and
 * the model's endpoint if that is on this machine. Nothing else: neither the API nor the page nor the broker.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { isLoopbackHost } from "@valet/shared/http/public-address";

export interface BridgeServer {
  /** Without a trailing slash. */
  readonly url: string;
  /** Sets the Worker's port, on the loopback interface. Until then runners are refused, and retry. */
  setWorker(port: number): void;
  /**
   * Returns the address at which sandboxes reach the model's endpoint. That is another one only if it is on this machine's loopback
   * interface.
   */
  offerModel(baseUrl: string): string;
  close(): Promise<void>;
}

const RUNNER = /^\/runner\/[\w.:-]{1,128}$/;
const MODEL = "/model";
/** What a hop keeps for itself (RFC 9110, section 7.6.1). */
const HOP_HEADERS = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
/** What announces a body. */
const BODY_HEADERS = ["content-length", "transfer-encoding"];
/** How many connections one address may have at once: far more than a sandbox's runner and model calls need. */
const MAX_CONNECTIONS = 256;

/**
 * @param wanted the port if it is free, so that runners find the server again after a restart; another one otherwise
 * @throws NodeJS.ErrnoException `EADDRNOTAVAIL` if this machine has no such address (now) */
export async function startBridgeServer(address: string, wanted = 0): Promise<BridgeServer> {
  let workerPort: number | undefined;
  let model: URL | undefined;
  const sockets = new Set<Socket>();

  /** Returns where a request goes; `undefined` for everything that sandboxes have no business with. */
  const targetOf = ({ method, url }: IncomingMessage, isUpgrade: boolean): URL | undefined => {
    const asked = URL.parse(url ?? "", "http://bridge");
    if (asked === null || asked.host !== "bridge") return undefined;
    const { pathname, search } = asked;
    if (isUpgrade) {
      const isRunner = method === "GET" && RUNNER.test(pathname) && workerPort !== undefined;
      return isRunner ? onServer(new URL(`http://127.0.0.1:${workerPort}`), pathname, search) : undefined;
    }
    if (model === undefined || !pathname.startsWith(`${MODEL}/`) || climbs(pathname)) return undefined;
    return onServer(model, model.pathname.replace(/\/$/, "") + pathname.slice(MODEL.length), search);
  };

  const server = createServer((incoming, outgoing) => {
    const target = targetOf(incoming, false);
    if (target === undefined) return refuse(outgoing, 404);
    const { method } = incoming;
    // A connection of its own each time: none is shared between sandboxes.
    const forwarded = request(target, { method, headers: endToEnd(incoming, target), agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, without(HOP_HEADERS, answer.headers));
      answer.pipe(outgoing);
      answer.once("error", () => outgoing.destroy());
    });
    forwarded.once("error", () => (outgoing.headersSent ? outgoing.destroy() : refuse(outgoing, 502)));
    outgoing.once("close", () => forwarded.destroy());
    incoming.pipe(forwarded);
  });

  server.on("upgrade", (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    const target = targetOf(incoming, true);
    if (target === undefined) return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    const headers = { ...without(BODY_HEADERS, incoming.headers), host: target.host };
    const forwarded = request(target, { headers, agent: false });
    socket.once("close", () => forwarded.destroy());
    forwarded.once("upgrade", (answer: IncomingMessage, other: Socket, first: Buffer) => {
      socket.write(`${headOf(answer)}\r\n`);
      if (first.length > 0) socket.write(first);
      if (head.length > 0) other.write(head);
      other.on("error", () => socket.destroy());
      socket.once("close", () => other.destroy());
      other.once("close", () => socket.destroy());
      other.pipe(socket).pipe(other);
    });
    forwarded.once("response", (answer: IncomingMessage) => {
      socket.write(`${headOf(answer, "close")}\r\n`);
      answer.pipe(socket);
      answer.once("close", () => socket.end());
    });
    forwarded.once("error", () => socket.destroy());
    forwarded.end();
  });
  server.on("connection", (socket) => {
    const ofAddress = [...sockets].filter(({ remoteAddress }) => remoteAddress === socket.remoteAddress);
    if (ofAddress.length >= MAX_CONNECTIONS) return void socket.destroy();
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await listen(server, wanted, address).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") throw error;
    return listen(server, 0, address);
  });
  const { port } = server.address() as AddressInfo;
  const url = `http://${address}:${port}`;
  return {
    url,
    setWorker: (wanted) => {
      workerPort = wanted;
    },
    offerModel: (baseUrl) => {
      const endpoint = URL.parse(baseUrl);
      if (endpoint?.protocol !== "http:" || !isLoopbackHost(endpoint.hostname)) return baseUrl;
      model = endpoint;
      return url + MODEL;
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function listen(server: Server, port: number, address: string): Promise<void> {
  server.listen(port, address);
  await once(server, "listening");
}

function refuse(outgoing: ServerResponse, status: number): void {
  outgoing.writeHead(status, { "content-length": 0, connection: "close" }).end();
}

/** Returns the URL of a path on a server: never another server's, whatever the path begins with. */
function onServer(server: URL, pathname: string, search: string): URL {
  const url = new URL(server);
  url.pathname = pathname;
  url.search = search;
  return url;
}

/** Returns whether a server may resolve a path to one above it, since URL leaves `..` between encoded separators as it is. */
function climbs(pathname: string): boolean {
  const segments = pathname.replaceAll(/%2e/gi, ".").split(/\/|%2f|%5c/i);
  return segments.some((each) => /^\.\.(?:;|$)/.test(each));
}

function without(names: readonly string[], headers: IncomingMessage["headers"]): IncomingMessage["headers"] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

function endToEnd(incoming: IncomingMessage, target: URL): IncomingMessage["headers"] {
  const headers: IncomingMessage["headers"] = { ...without(HOP_HEADERS, incoming.headers), host: target.host };
  // Otherwise Node sends the body of a GET without its length, and the server takes it for the next request.
  if (incoming.headers["transfer-encoding"] !== undefined) headers["transfer-encoding"] = "chunked";
  return headers;
}

/** Returns the head of an answer as it was, without its last line break; its body then ends with the connection if `connection` is given. */
function headOf({ statusCode, statusMessage, rawHeaders }: IncomingMessage, connection?: "close"): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (connection !== undefined && HOP_HEADERS.includes(name.toLowerCase())) continue;
    lines.push(`${name}: ${rawHeaders[i + 1]}`);
  }
  if (connection !== undefined) lines.push(`Connection: ${connection}`);
  return `${lines.join("\r\n")}\r\n`;
}
