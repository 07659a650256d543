/** What is amiss in this sandbox though the session goes on: told to the SessionAgent once, and again on each new link. */
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

  /** Tells all of them. To be called when there is a new link. */
  resend(): void {
    if (this.#known.size > 0) this.#send({ type: "warnings", warnings: [...this.#known] });
  }
}
