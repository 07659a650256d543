/** Asks the runner for background processes: they would end with the sandbox, although no turn is running. */
import { LIMITS } from "@valet/shared/limits";
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import { newId } from "../core/ids.ts";

export class BackgroundCheck {
  readonly #send: (frame: ToRunner) => boolean;
  readonly #asked = new Map<string, (processes: number) => void>();

  /** @param send sends a frame to the runner; returns false if there is no link */
  constructor(send: (frame: ToRunner) => boolean) {
    this.#send = send;
  }

  /** Returns the number of background processes; `undefined` if the runner does not answer. */
  async count(): Promise<number | undefined> {
    const requestId = newId("op");
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    // A runner that does not answer hangs, or is older than this question.
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
