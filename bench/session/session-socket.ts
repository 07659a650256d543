/** A session's WebSocket as a client sees it, with the time of each event. */
import { once } from "node:events";
import { ClientEvent, type ClientMessage } from "@valet/shared/protocol/client-socket";
import { Ticket } from "@valet/shared/protocol/session-api";
import type { Connection } from "../../packages/cli/src/system/state.ts";

export interface Seen<T> {
  readonly value: T;
  /** As `performance.now()`. */
  readonly atMs: number;
}

const TIMEOUT_MS = 60_000;

export class SessionSocket {
  readonly #socket: WebSocket;
  readonly #watchers = new Set<(event: ClientEvent, atMs: number) => void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const atMs = performance.now();
      const event = ClientEvent.parse(JSON.parse(data as string));
      if (event.type === "sync")
        socket.send(JSON.stringify({ type: "synced", read: event.read } satisfies ClientMessage));
      for (const watch of [...this.#watchers]) watch(event, atMs);
    });
  }

  static async open({ url, token }: Connection, sessionId: string): Promise<SessionSocket> {
    const answer = await fetch(`${url}/api/tickets`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ sessionId }),
    });
    const { ticket } = Ticket.parse(await answer.json());
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/api/sessions/${sessionId}/ws?ticket=${ticket}`);
    const opened = new SessionSocket(socket);
    await once(socket, "open", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return opened;
  }

  /**
   * Waits for a future event.
   * @param pick returns the wanted value of an event, or `undefined` to keep waiting; an error that it throws ends the
   * wait
   */
  when<T>(what: string, pick: (event: ClientEvent) => T | undefined): Promise<Seen<T>> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        act();
      };
      const late = () => reject(new Error(`waited ${TIMEOUT_MS / 1000} s for ${what}`));
      const timer = setTimeout(() => settle(late), TIMEOUT_MS);
      const watch = (event: ClientEvent, atMs: number) => {
        try {
          const value = pick(event);
          if (value !== undefined) settle(() => resolve({ value, atMs }));
        } catch (error) {
          settle(() => reject(error));
        }
      };
      this.#watchers.add(watch);
    });
  }

  close(): void {
    this.#socket.close();
  }
}
