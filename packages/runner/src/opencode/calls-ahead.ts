/** What the plugin has told of a model call before OpenCode's event stream, which is slower, has announced its message. */
import type { ModelRequestEvent } from "./model-request.ts";

interface CallAhead {
  /** When the call was permitted, epoch ms; `undefined` if it was not, or if it was refused after that. */
  readonly permittedMs?: number;
  /** The report that its request has left. */
  readonly request?: ModelRequestEvent["properties"];
}

export class CallsAhead {
  /** Of the last message. OpenCode prepares one call of a session at a time. */
  #messageId: string | undefined;
  #call: CallAhead = {};

  permitted(messageId: string, atMs: number): void {
    this.#call = { ...this.#of(messageId), permittedMs: atMs };
  }

  refused(messageId: string): void {
    const { request } = this.#of(messageId);
    this.#call = request === undefined ? {} : { request };
  }

  requested(request: ModelRequestEvent["properties"]): void {
    this.#call = { ...this.#of(request.messageID), request };
  }

  /** Returns what is known of the call of a message, and forgets it. */
  take(messageId: string): CallAhead {
    const call = this.#of(messageId);
    this.#call = {};
    return call;
  }

  #of(messageId: string): CallAhead {
    if (this.#messageId !== messageId) this.#call = {};
    this.#messageId = messageId;
    return this.#call;
  }
}
