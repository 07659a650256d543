/** The sockets of browsers and CLIs that watch the session live. They are told; they do not tell. */
import type { ClientEvent } from "@valet/shared/protocol/client-socket";

const TAG = "client";
/** More watchers than any team has; whoever opens more has a loop. */
const MAX_CLIENTS = 64;
/** What a client has no reason to send is answered this often, then the socket is closed. */
const MAX_BAD_FRAMES = 20;
const POLICY_VIOLATION = 1008;

export class ClientSockets {
  readonly #ctx: Pick<DurableObjectState, "acceptWebSocket" | "getWebSockets">;

  constructor(ctx: Pick<DurableObjectState, "acceptWebSocket" | "getWebSockets">) {
    this.#ctx = ctx;
  }

  owns(socket: WebSocket): boolean {
    return (socket.deserializeAttachment() as { role?: unknown } | null)?.role === TAG;
  }

  /** @param first what the client is told at once */
  accept(request: Request, first: ClientEvent): Response {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("This address takes WebSockets.", { status: 426, headers: { upgrade: "websocket" } });
    }
    if (this.#ctx.getWebSockets(TAG).length >= MAX_CLIENTS) {
      return new Response("Too many clients watch this session.", { status: 429 });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.#ctx.acceptWebSocket(server, [TAG]);
    server.serializeAttachment({ role: TAG, badFrames: 0 });
    this.#send(server, JSON.stringify(first));
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
    for (const socket of sockets) this.#send(socket, text);
  }

  /** Anything but the ping that the platform answers is not part of the protocol. */
  onFrame(socket: WebSocket): void {
    const { badFrames } = socket.deserializeAttachment() as { badFrames: number };
    if (badFrames >= MAX_BAD_FRAMES) {
      socket.close(POLICY_VIOLATION, "too many frames");
      return;
    }
    socket.serializeAttachment({ role: TAG, badFrames: badFrames + 1 });
    const error: ClientEvent = { type: "error", error: "this socket takes no messages: use the API" };
    this.#send(socket, JSON.stringify(error));
  }

  #send(socket: WebSocket, text: string): void {
    try {
      socket.send(text);
    } catch {
      // It is closing; the close event follows.
    }
  }
}
