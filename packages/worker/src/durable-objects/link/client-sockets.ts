/**
 * The sockets of browsers and CLIs that watch the session live. They receive events and send one thing only: how far they have
 * read, when they are asked. The platform buffers what is sent, without a limit, and does not say how much it buffers; so a client
 * that does not answer counts as one that does not read, and its socket is closed.
 */
import { problemResponse } from "@valet/shared/http/problem";
import { apiProblem } from "@valet/shared/protocol/api-problems";
import { type ClientEvent, ClientMessage } from "@valet/shared/protocol/client-socket";

const TAG = "client";
/** More watchers than any team has: more than this is a loop. */
const MAX_CLIENTS = 64;
const RETRY_AFTER_S = "10";
/** After this many unexpected frames the socket is closed. */
const MAX_BAD_FRAMES = 20;
const POLICY_VIOLATION = 1008;
/** "Try again later" (IANA, WebSocket Close Code Number Registry). */
const TRY_AGAIN = 1013;
/** After this much is sent, in UTF-16 code units, the client is asked how far it has read. */
const SYNC_LENGTH = 128 * 1024;
/** How much may be unread when a question has been unanswered for {@link MAX_WAIT_MS}, and how much at any time. */
const MAX_UNREAD = 2 * 1024 * 1024;
const MAX_UNREAD_AT_ONCE = 8 * 1024 * 1024;
const MAX_WAIT_MS = 5_000;

/** What a socket's attachment keeps while the object hibernates; not what was sent since the last question. */
interface Client {
  readonly role: typeof TAG;
  badFrames: number;
  /** How much was sent, and how much of it the client has read, in UTF-16 code units. */
  sent: number;
  read: number;
  /** The value of `sent` at the last question. */
  asked: number;
  /** When the oldest unanswered question was sent, epoch ms; 0 if there is none. */
  askedMs: number;
}

export class ClientSockets {
  readonly #ctx: Pick<DurableObjectState, "acceptWebSocket" | "getWebSockets">;
  readonly #now: () => number;
  readonly #clients = new WeakMap<WebSocket, Client>();

  constructor(ctx: Pick<DurableObjectState, "acceptWebSocket" | "getWebSockets">, now: () => number = Date.now) {
    this.#ctx = ctx;
    this.#now = now;
  }

  owns(socket: WebSocket): boolean {
    return (socket.deserializeAttachment() as { role?: unknown } | null)?.role === TAG;
  }

  /** @param first the events that the client receives first */
  accept(request: Request, ...first: readonly ClientEvent[]): Response {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("This address takes WebSockets.", { status: 426, headers: { upgrade: "websocket" } });
    }
    if (this.#ctx.getWebSockets(TAG).length >= MAX_CLIENTS) {
      const detail = `${MAX_CLIENTS} clients watch this session. Close one first.`;
      return problemResponse(apiProblem("too-many-requests", { detail }), { "retry-after": RETRY_AFTER_S });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server, [TAG]);
    const state: Client = { role: TAG, badFrames: 0, sent: 0, read: 0, asked: 0, askedMs: 0 };
    server.serializeAttachment(state);
    this.#clients.set(server, state);
    for (const event of first) this.#tell(server, JSON.stringify(event));
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Whether nobody watches. */
  get isEmpty(): boolean {
    return this.#ctx.getWebSockets(TAG).length === 0;
  }

  /** Sends an event to every client. */
  broadcast(event: ClientEvent): void {
    const sockets = this.#ctx.getWebSockets(TAG);
    if (sockets.length === 0) return;
    const text = JSON.stringify(event);
    for (const socket of sockets) this.#tell(socket, text);
  }

  /** Takes a client's frame: how far it has read. Nothing else is part of the protocol, except the ping that the platform answers. */
  onFrame(socket: WebSocket, data: string | ArrayBuffer): void {
    const client = this.#clientOf(socket);
    const read = readIn(data);
    if (read !== undefined) {
      // A client cannot have read more than was sent.
      client.read = Math.max(client.read, Math.min(read, client.asked));
      client.askedMs = client.read < client.asked ? this.#now() : 0;
      socket.serializeAttachment(client);
      return;
    }
    if (client.badFrames >= MAX_BAD_FRAMES) {
      socket.close(POLICY_VIOLATION, "too many frames");
      return;
    }
    client.badFrames++;
    socket.serializeAttachment(client);
    const error: ClientEvent = { type: "error", error: "this socket takes no messages: use the API" };
    this.#tell(socket, JSON.stringify(error));
  }

  #tell(socket: WebSocket, text: string): void {
    const client = this.#clientOf(socket);
    if (this.#isTooSlow(client, text.length)) {
      close(socket, TRY_AGAIN, "what was sent is not read, or `sync` not answered");
      return;
    }
    client.sent += text.length;
    send(socket, text);
    if (client.sent - client.asked < SYNC_LENGTH) return;
    client.asked = client.sent;
    if (client.askedMs === 0) client.askedMs = this.#now();
    socket.serializeAttachment(client);
    send(socket, JSON.stringify({ type: "sync", read: client.asked } satisfies ClientEvent));
  }

  #isTooSlow({ sent, read, askedMs }: Client, length: number): boolean {
    const unread = sent + length - read;
    if (askedMs === 0 || unread <= MAX_UNREAD) return false;
    return unread > MAX_UNREAD_AT_ONCE || this.#now() - askedMs >= MAX_WAIT_MS;
  }

  #clientOf(socket: WebSocket): Client {
    const known = this.#clients.get(socket) ?? {
      // Clients that connected to an older version have not been asked.
      ...{ sent: 0, read: 0, asked: 0, askedMs: 0 },
      ...(socket.deserializeAttachment() as Client),
    };
    this.#clients.set(socket, known);
    return known;
  }
}

/** Returns how far a client says that it has read. */
function readIn(data: string | ArrayBuffer): number | undefined {
  if (typeof data !== "string") return undefined;
  try {
    return ClientMessage.safeParse(JSON.parse(data)).data?.read;
  } catch {
    return undefined;
  }
}

function send(socket: WebSocket, text: string): void {
  try {
    socket.send(text);
  } catch {
    // It is closing; the close event follows.
  }
}

function close(socket: WebSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason);
  } catch {
    // It is closed.
  }
}
