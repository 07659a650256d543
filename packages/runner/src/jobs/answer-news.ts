/** Tells of the parts of an answer while it comes: each part at once, and from then on at most once in an interval. */
import type { MessagePart } from "@valet/shared/protocol/message-part";

/** Returns a part as it is by now. */
type ReadPart = (partId: string) => MessagePart | undefined;

/** A part that was told less than an interval ago. */
interface Resting {
  readonly timer: ReturnType<typeof setTimeout>;
  /** Present if the part has changed since. */
  read?: ReadPart;
}

export class AnswerNews {
  readonly #intervalMs: number;
  readonly #tell: (part: MessagePart) => void;
  readonly #resting = new Map<string, Resting>();

  /** @param intervalMs the shortest time between two updates of a part */
  constructor(intervalMs: number, tell: (part: MessagePart) => void) {
    this.#intervalMs = intervalMs;
    this.#tell = tell;
  }

  /**
   * Takes note that a part has changed. An update that follows another of the same part within the interval waits for its end, and
   * is then told as the part is by then. A text that has just begun and is still empty is no news: it would delay the first words.
   */
  changed(partId: string, read: ReadPart): void {
    const resting = this.#resting.get(partId);
    if (resting !== undefined) resting.read = read;
    else this.#update(partId, read);
  }

  /** Tells at once what has changed. */
  flush(): void {
    for (const [partId, { timer, read }] of this.#resting) {
      clearTimeout(timer);
      const part = read?.(partId);
      if (part !== undefined) this.#tell(part);
    }
    this.#resting.clear();
  }

  #update(partId: string, read: ReadPart): void {
    const part = read(partId);
    if (part === undefined || isEmpty(part)) return;
    this.#resting.set(partId, { timer: setTimeout(() => this.#onRested(partId), this.#intervalMs) });
    this.#tell(part);
  }

  #onRested(partId: string): void {
    const read = this.#resting.get(partId)?.read;
    this.#resting.delete(partId);
    if (read !== undefined) this.#update(partId, read);
  }
}

function isEmpty(part: MessagePart): boolean {
  return part.type !== "tool" && part.text === "";
}
