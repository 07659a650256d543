/** Waits until OpenCode's event stream has announced an assistant message. */
import type { AgentListener } from "./agent-access.ts";

/** The maximum number of messages to remember. A call's permit is requested shortly after its message was announced. */
const MAX_MESSAGES = 1_000;

export class AnnouncedMessages implements AgentListener {
  readonly #announced = new Set<string>();
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();

  /** Resolves once the stream has announced the message to all its listeners, or is lost. */
  until(messageId: string): Promise<void> {
    if (this.#announced.has(messageId)) return Promise.resolve();
    const waiting = this.#waiting.get(messageId) ?? Promise.withResolvers<void>();
    this.#waiting.set(messageId, waiting);
    return waiting.promise;
  }

  onEvent({ type, properties }: Parameters<AgentListener["onEvent"]>[0]): void {
    if (type !== "message.updated" || properties.info.role !== "assistant") return;
    const { id } = properties.info;
    this.#announced.delete(id);
    this.#announced.add(id);
    for (const oldest of this.#announced) {
      if (this.#announced.size <= MAX_MESSAGES) break;
      this.#announced.delete(oldest);
    }
    this.#waiting.get(id)?.resolve();
    this.#waiting.delete(id);
  }

  /** The history replaces the events that were lost with the stream. */
  onReconnected(): void {
    this.#releaseAll();
  }

  onDeath(): void {
    this.#releaseAll();
  }

  #releaseAll(): void {
    for (const { resolve } of this.#waiting.values()) resolve();
    this.#waiting.clear();
  }
}
