/** A way to a server on loopback, which may lead nowhere for a while. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What happens to connections: they lead to the server, are open without an answer, or are closed at once. */
export type LinkState = "open" | "silent" | "closed";

export class LossyLink {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#accept(socket));
  #state: LinkState = "open";
  #port = 0;

  /** Begins to lead to a server. @returns the URL that stands for it */
  async to(url: string): Promise<string> {
    const target = new URL(url);
    this.#port = Number(target.port);
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    target.port = String((this.#server.address() as AddressInfo).port);
    return target.href;
  }

  /** Changes what happens to connections, and ends those that there are. */
  change(state: LinkState): void {
    this.#state = state;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.change("closed");
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#state === "closed") {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    if (this.#state === "silent") return;
    const server = connect(this.#port, "127.0.0.1");
    server.on("error", () => socket.destroy());
    server.on("close", () => socket.destroy());
    socket.on("close", () => server.destroy());
    socket.pipe(server).pipe(socket);
  }
}
