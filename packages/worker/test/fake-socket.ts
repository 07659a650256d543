/** A WebSocket as the object sees it: what it is sent and closed with stays here. */
export class FakeSocket {
  readonly frames: unknown[] = [];
  closed: readonly [code: number, reason: string] | undefined;
  /** Whether it has closed by itself, so that nothing can be done with it any more. */
  isBroken: boolean;
  #attachment: unknown;

  constructor({ isBroken = false, attachment = null }: { isBroken?: boolean; attachment?: unknown } = {}) {
    this.isBroken = isBroken;
    this.#attachment = attachment;
  }

  get asWebSocket(): WebSocket {
    return this as unknown as WebSocket;
  }

  send(text: string): void {
    this.#check();
    this.frames.push(JSON.parse(text));
  }

  close(code: number, reason: string): void {
    this.#check();
    this.closed = [code, reason];
  }

  serializeAttachment(attachment: unknown): void {
    this.#attachment = structuredClone(attachment);
  }

  deserializeAttachment(): unknown {
    return structuredClone(this.#attachment);
  }

  #check(): void {
    if (this.isBroken || this.closed !== undefined) throw new Error("the socket is closed");
  }
}
