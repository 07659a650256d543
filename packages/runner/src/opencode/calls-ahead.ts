/** Keeps the permits and reports of model calls that arrive before OpenCode's event stream, which is slower, has announced their messages. */
import type { ModelRequestEvent } from "./model-request.ts";

interface CallAhead {
  /** When the call was permitted, epoch ms. */
  readonly permittedMs?: number;
  /** The report that its request has left. */
  readonly request?: ModelRequestEvent["properties"];
}

/** OpenCode prepares one call of a session at a time. */
const MAX_CALLS = 10;

export class CallsAhead {
  /** By message. */
  readonly #calls = new Map<string, CallAhead>();

  permitted(messageId: string, atMs: number): void {
    this.#set(messageId, { ...this.#calls.get(messageId), permittedMs: atMs });
  }

  requested(request: ModelRequestEvent["properties"]): void {
    this.#set(request.messageID, { ...this.#calls.get(request.messageID), request });
  }

  /** Returns what is known of the call of a message, and forgets it. */
  take(messageId: string): CallAhead {
    const call = this.#calls.get(messageId) ?? {};
    this.#calls.delete(messageId);
    return call;
  }

  #set(messageId: string, call: CallAhead): void {
    this.#calls.delete(messageId);
    this.#calls.set(messageId, call);
    for (const oldest of this.#calls.keys()) if (this.#calls.size > MAX_CALLS) this.#calls.delete(oldest);
  }
}
