/** What the agent has asked the SessionAgent about its child sessions and is not answered yet: sent again with each new link. */
import { LIMITS } from "@valet/shared/limits";
import type { ChildSessionAnswer } from "@valet/shared/protocol/child-sessions";
import type { FromRunner, FromRunnerOf } from "@valet/shared/protocol/runner-link";

export type ChildRequest = Omit<FromRunnerOf<"child-session-request">, "type">;

interface Pending {
  readonly request: ChildRequest;
  readonly waiters: Set<(answer: ChildSessionAnswer) => void>;
}

const NO_ANSWER: ChildSessionAnswer = {
  ok: false,
  error: "There was no answer in time. What was asked for may still happen: look before you ask again.",
};

export class ChildRequests {
  readonly #send: (frame: FromRunner) => unknown;
  readonly #timeoutMs: number;
  readonly #pending = new Map<string, Pending>();

  /** @param send sends a frame if there is a link */
  constructor(send: (frame: FromRunner) => unknown, timeoutMs: number = LIMITS.childRequestMs) {
    this.#send = send;
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves to the answer, or to the lack of one in time or until `signal` ends the asking. The same id is asked once. */
  async ask(request: ChildRequest, signal: AbortSignal): Promise<ChildSessionAnswer> {
    const { requestId } = request;
    const { promise, resolve } = Promise.withResolvers<ChildSessionAnswer>();
    const known = this.#pending.get(requestId);
    const pending = known ?? { request, waiters: new Set() };
    pending.waiters.add(resolve);
    this.#pending.set(requestId, pending);
    if (known === undefined) this.#send({ type: "child-session-request", ...request });
    const giveUp = () => resolve(NO_ANSWER);
    const timer = setTimeout(giveUp, this.#timeoutMs);
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) giveUp();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", giveUp);
      pending.waiters.delete(resolve);
      if (pending.waiters.size === 0 && this.#pending.get(requestId) === pending) this.#pending.delete(requestId);
    }
  }

  answered(requestId: string, answer: ChildSessionAnswer): void {
    for (const resolve of this.#pending.get(requestId)?.waiters ?? []) resolve(answer);
  }

  /** There is a new link: whoever had been asked over the old one may not have heard it. */
  resend(): void {
    for (const { request } of this.#pending.values()) this.#send({ type: "child-session-request", ...request });
  }
}
