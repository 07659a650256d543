/**
 * The sockets of browsers and CLIs that watch the session live. They are told; they do not tell, but for this: a client that has
 * been told much is asked to say how far it has read. The platform keeps what is sent until it has gone out, however long that
 * takes, and does not say how much that is; so a client that does not answer is taken for one that does not read, and is closed.
 */
import { type ClientEvent, ClientMessage } from "@valet/shared/protocol/client-socket";

const TAG = "client";
/** More watchers than any team has; whoever opens more has a loop. */
const MAX_CLIENTS = 64;
/** What a client has no reason to send is answered this often, then the socket is closed. */
const MAX_BAD_FRAMES = 20;
const POLICY_VIOLATION = 1008;
/** "Try again later" (IANA, WebSocket Close Code Number Registry). */
const TRY_AGAIN = 1013;
/** How much is sent between two questions how far the client has read, in UTF-16 code units. */
const SYNC_LENGTH = 128 * 1024;
/** How much may be unread once a question has gone unanswered for {@link MAX_WAIT_MS}, and however fast it came. */
const MAX_UNREAD = 2 * 1024 * 1024;
const MAX_UNREAD_AT_ONCE = 8 * 1024 * 1024;
const MAX_WAIT_MS = 5_000;

/** What a socket remembers through a hibernation of the object; what was sent since the last question is not of it. */
interface Client {
  readonly role: typeof TAG;
  badFrames: number;
  /** All that was sent, and how much of it the client has read, in UTF-16 code units. */
  sent: number;
  read: number;
  /** As far as it was last asked. */
  asked: number;
  /** When the oldest question that is unanswered was put, epoch ms; 0 where there is none. */
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

  /** @param first what the client is told at once */
  accept(request: Request, ...first: readonly ClientEvent[]): Response {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("This address takes WebSockets.", { status: 426, headers: { upgrade: "websocket" } });
    }
    if (this.#ctx.getWebSockets(TAG).length >= MAX_CLIENTS) {
      return new Response("Too many clients watch this session.", { status: 429 });
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

  /** Tells everyone who watches. */
  broadcast(event: ClientEvent): void {
    const sockets = this.#ctx.getWebSockets(TAG);
    if (sockets.length === 0) return;
    const text = JSON.stringify(event);
    for (const socket of sockets) this.#tell(socket, text);
  }

  /** What a client says: how far it has read. Anything else, but for the ping that the platform answers, is not of the protocol. */
  onFrame(socket: WebSocket, data: string | ArrayBuffer): void {
    const client = this.#clientOf(socket);
    const read = readIn(data);
    if (read !== undefined) {
      // Nobody has read what was not sent.
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
      // Those of an older version have not been asked.
      ...{ sent: 0, read: 0, asked: 0, askedMs: 0 },
      ...(socket.deserializeAttachment() as Client),
    };
    this.#clients.set(socket, known);
    return known;
  }
}

/** How far a client says that it has read. */
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
