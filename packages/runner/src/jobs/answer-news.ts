/** Tells of the parts of an answer while it comes, each no more often than it is worth. */
import type { MessagePart } from "@valet/shared/protocol/message-part";

export class AnswerNews {
  readonly #intervalMs: number;
  readonly #tell: (part: MessagePart) => void;
  readonly #changed = new Set<string>();
  #read: (partId: string) => MessagePart | undefined = () => undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param intervalMs at most one update of a part in this time */
  constructor(intervalMs: number, tell: (part: MessagePart) => void) {
    this.#intervalMs = intervalMs;
    this.#tell = tell;
  }

  /** @param read gives a part as it is when it is told */
  changed(partId: string, read: (partId: string) => MessagePart | undefined): void {
    this.#read = read;
    this.#changed.add(partId);
    this.#timer ??= setTimeout(() => this.flush(), this.#intervalMs);
  }

  /** Tells at once what has changed. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const id of this.#changed) {
      const part = this.#read(id);
      if (part !== undefined) this.#tell(part);
    }
    this.#changed.clear();
  }
}
