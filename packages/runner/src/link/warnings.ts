/** Sends warnings about this sandbox to the SessionAgent: each once, and all of them again on each new link. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";

export class Warnings {
  readonly #send: (frame: FromRunnerOf<"warnings">) => unknown;
  readonly #known = new Set<RunnerWarning>();

  constructor(send: (frame: FromRunnerOf<"warnings">) => unknown) {
    this.#send = send;
  }

  add(warning: RunnerWarning): void {
    if (this.#known.has(warning)) return;
    this.#known.add(warning);
    this.resend();
  }

  /** Sends all warnings, for example on a new link. */
  resend(): void {
    if (this.#known.size > 0) this.#send({ type: "warnings", warnings: [...this.#known] });
  }
}
