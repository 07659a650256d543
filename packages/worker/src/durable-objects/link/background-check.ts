/** Asks the runner what goes on in the background of its sandbox: what ends with the sandbox though no turn is running. */
import { LIMITS } from "@valet/shared/limits";
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import { newId } from "../core/ids.ts";

export class BackgroundCheck {
  readonly #send: (frame: ToRunner) => boolean;
  readonly #asked = new Map<string, (processes: number) => void>();

  /** @param send sends a frame to the runner; false where there is no link */
  constructor(send: (frame: ToRunner) => boolean) {
    this.#send = send;
  }

  /** How many background processes there are; `undefined` where the runner does not say. */
  async count(): Promise<number | undefined> {
    const requestId = newId("op");
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    // A runner that gives no answer does not know the question, or hangs.
    const timer = setTimeout(() => resolve(undefined), LIMITS.backgroundCheckMs);
    this.#asked.set(requestId, resolve);
    try {
      if (!this.#send({ type: "background-check", requestId })) return undefined;
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#asked.delete(requestId);
    }
  }

  answered({ requestId, processes }: FromRunnerOf<"background">): void {
    this.#asked.get(requestId)?.(processes);
  }
}
