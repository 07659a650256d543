/** A WebSocket for the object. It stores what the object sends, and how the object closes it. */
export class FakeSocket {
  readonly frames: unknown[] = [];
  closed: readonly [code: number, reason: string] | undefined;
  /** Whether it has closed by itself: then every call throws. */
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
