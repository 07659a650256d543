/** The agent's unanswered requests to the SessionAgent about child sessions. They are sent again on each new link. */
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
  error: "The request timed out, but it may still be carried out. Check before you repeat it.",
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

  /** Sends a request, once per id. Resolves to the answer, or to an error after the timeout or when `signal` aborts. */
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

  /** Sends all pending requests again, on a new link, since those sent over the old one may not have arrived. */
  resend(): void {
    for (const { request } of this.#pending.values()) this.#send({ type: "child-session-request", ...request });
  }
}
