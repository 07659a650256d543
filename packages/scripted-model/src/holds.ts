/** The places where answers wait for the program that started the server. */
import { EventEmitter, once } from "node:events";

export class Holds {
  readonly #released = new Set<string>();
  // Any number of answers may wait at one place.
  readonly #releases = new EventEmitter().setMaxListeners(0);

  /** @throws AbortError when the signal ends it first */
  async wait(name: string, signal: AbortSignal): Promise<void> {
    while (!this.#released.has(name)) await once(this.#releases, "release", { signal });
  }

  release(name: string): void {
    this.#released.add(name);
    this.#releases.emit("release");
  }
}
