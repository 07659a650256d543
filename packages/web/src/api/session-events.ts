/**
 * The live events of a session, over its WebSocket. All parts of the page that listen to one session share one socket.
 *
 * After a break it connects again, with growing pauses, and at once when the browser is online again or the page is looked at again.
 * What happened in between is not repeated by the server: each `opened` tells its listeners to read again what they show.
 */
import { api, ok, type Schemas } from "./client.ts";
import { noteAnswer, noteSilence } from "./connection.ts";
import { ApiError, isPassing, waitOf } from "./problem.ts";
import { Reread } from "./reread.ts";

export type SessionEvent =
  | Schemas["ClientEvent"]
  /** The socket is open. After a break, whatever was read before may be out of date. */
  | { readonly type: "opened"; readonly isAgain: boolean }
  /** The socket is down; it is being opened again. */
  | { readonly type: "down" }
  /** The session is not there (any more), or not the caller's: no further events come. */
  | { readonly type: "gone"; readonly error: ApiError };
type Listener = (event: SessionEvent) => void;

const PING_EVERY_MS = 20_000;
/** A socket that has not answered a ping by the next one is dead, even if the browser has not noticed. */
const PONG = "pong";
/** A computer that slept, or was offline, asks at once whether its socket still lives, and waits so long for the answer. */
const WAKE_MS = 5_000;
/** A timer that is so late slept. Those of a hidden page are up to a minute late. */
const SLEPT_MS = 90_000;

/** A new listener first gets the last of these: the state of the socket and of the session. */
const REPLAYED = ["opened", "down", "gone", "session"];

class SessionSocket {
  readonly #id: string;
  readonly #listeners = new Set<Listener>();
  readonly #last = new Map<string, SessionEvent>();
  #socket: WebSocket | undefined;
  /** From the second failure on the page says that it may be out of date: without a socket, a session looks as it was. */
  readonly #again = new Reread(() => this.#reconnect(), 1);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hasOpened = false;
  #isStopped = false;
  #isAsking = false;
  #isHeard = true;

  constructor(id: string) {
    this.#id = id;
    addEventListener("online", this.#onAwake);
    addEventListener("visibilitychange", this.#onVisible);
    void this.#connect();
  }

  add(listener: Listener): void {
    this.#listeners.add(listener);
    for (const event of this.#last.values()) listener(event);
  }

  /** Returns whether nobody listens any more; then the socket is closed. */
  remove(listener: Listener): boolean {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return false;
    this.#stop();
    return true;
  }

  #stop(): void {
    this.#isStopped = true;
    removeEventListener("online", this.#onAwake);
    removeEventListener("visibilitychange", this.#onVisible);
    clearTimeout(this.#timer);
    this.#again.succeeded();
    this.#socket?.close();
  }

  #emit(event: SessionEvent): void {
    if (REPLAYED.includes(event.type)) {
      if (event.type !== "session") for (const type of ["opened", "down", "gone"]) this.#last.delete(type);
      this.#last.set(event.type, event);
    }
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** Asks for a ticket and opens a socket with it: once at a time, however often the browser says that it is online. */
  async #connect(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const { ticket } = await ok(api.POST("/api/tickets", { body: { sessionId: this.#id } }));
      if (!this.#isStopped) this.#open(ticket);
    } catch (error) {
      if (this.#isStopped) return;
      if (isPassing(error)) this.#retry(error);
      else this.#giveUp(error);
    } finally {
      this.#isAsking = false;
    }
  }

  #open(ticket: string): void {
    const url = new URL(`/api/sessions/${this.#id}/ws`, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("ticket", ticket);
    const socket = new WebSocket(url);
    this.#socket = socket;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#giveUpOn(socket), PING_EVERY_MS);
    let isRefused = true;
    socket.onopen = () => {
      isRefused = false;
      this.#again.succeeded();
      this.#isHeard = true;
      noteAnswer();
      this.#emit({ type: "opened", isAgain: this.#hasOpened });
      this.#hasOpened = true;
      this.#ping(socket);
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => this.#receive(socket, data);
    socket.onclose = () => {
      if (this.#socket !== socket || this.#isStopped) return;
      clearTimeout(this.#timer);
      this.#emit({ type: "down" });
      if (isRefused) void this.#askWhy();
      else this.#retry();
    };
  }

  /** A browser does not say why a socket was refused; the session itself does, for example that it is gone. */
  async #askWhy(): Promise<void> {
    try {
      await ok(api.GET("/api/sessions/{id}", { params: { path: { id: this.#id } } }));
    } catch (error) {
      if (this.#isStopped) return;
      return isPassing(error) ? this.#retry(error) : this.#giveUp(error);
    }
    if (!this.#isStopped) this.#retry();
  }

  #giveUp(error: unknown): void {
    this.#emit({ type: "gone", error: error instanceof ApiError ? error : new ApiError(String(error), null) });
    this.#stop();
  }

  #receive(socket: WebSocket, data: string): void {
    this.#isHeard = true;
    noteAnswer();
    if (data === PONG) return;
    const event = JSON.parse(data) as Schemas["ClientEvent"];
    if (event.type === "sync") socket.send(JSON.stringify({ type: "synced", read: event.read }));
    else this.#emit(event);
  }

  /** @param waitMs how long the socket has for a sign of life */
  #ping(socket: WebSocket, waitMs = PING_EVERY_MS): void {
    clearTimeout(this.#timer);
    const dueMs = Date.now() + waitMs;
    this.#timer = setTimeout(() => {
      if (!this.#isHeard) {
        noteSilence();
        return this.#giveUpOn(socket);
      }
      this.#ask(socket, Date.now() - dueMs > SLEPT_MS ? WAKE_MS : PING_EVERY_MS);
    }, waitMs);
  }

  /** Gives up a socket from which nothing comes. */
  #giveUpOn(socket: WebSocket): void {
    // The closing handshake of a dead socket takes long: do not wait for it.
    socket.onopen = null;
    socket.onclose = null;
    socket.close();
    this.#emit({ type: "down" });
    this.#retry();
  }

  #ask(socket: WebSocket, waitMs: number): void {
    this.#isHeard = false;
    socket.send("ping");
    this.#ping(socket, waitMs);
  }

  #reconnect(): void {
    if (this.#socket === undefined) void this.#connect();
  }

  /** @param error why the server refused, if it has answered: it may have asked for a wait */
  #retry(error?: unknown): void {
    this.#socket = undefined;
    clearTimeout(this.#timer);
    const message = "The live connection to the session cannot be opened.";
    this.#again.failed(new ApiError(message, null, null, new Map(), waitOf(error)));
  }

  /** Called when somebody looks at the page again, for example after the computer slept: its timers may have stood still meanwhile. */
  readonly #onVisible = (): void => {
    if (document.visibilityState === "visible") this.#onAwake();
  };

  /**
   * Called when the network may be back. Opens a socket at once. If there is a socket, asks whether it still lives: it may have died
   * with the network.
   */
  readonly #onAwake = (): void => {
    if (this.#isStopped) return;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#ask(this.#socket, WAKE_MS);
    else this.#again.now();
  };
}

const sockets = new Map<string, SessionSocket>();

/** Listens to a session. @returns a function that stops; the last listener's closes the socket */
export function listenToSession(sessionId: string, listener: Listener): () => void {
  const socket = sockets.get(sessionId) ?? new SessionSocket(sessionId);
  sockets.set(sessionId, socket);
  socket.add(listener);
  return () => {
    if (socket.remove(listener) && sockets.get(sessionId) === socket) sockets.delete(sessionId);
  };
}
