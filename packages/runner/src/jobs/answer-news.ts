/**
 * Sends the parts of an answer while it arrives: each part immediately, and then at most one update per interval. That a tool call has
 * begun or ended is sent immediately, too.
 */
import type { MessagePart } from "@valet/shared/protocol/message-part";

/** Returns the current state of a part. */
type ReadPart = (partId: string) => MessagePart | undefined;

/** A part that was sent less than an interval ago. */
interface Resting {
  readonly timer: ReturnType<typeof setTimeout>;
  /** How far its tool call had come. */
  readonly stage: number;
  /** Present if the part has changed since. */
  read?: ReadPart;
}

export class AnswerNews {
  readonly #intervalMs: number;
  readonly #tell: (part: MessagePart) => void;
  readonly #resting = new Map<string, Resting>();

  /** @param intervalMs the minimum time between two updates of a part */
  constructor(intervalMs: number, tell: (part: MessagePart) => void) {
    this.#intervalMs = intervalMs;
    this.#tell = tell;
  }

  /**
   * Handles a change of a part. An update within an interval of the last one is sent at the interval's end, with the part's
   * state at that time. An empty text is not sent, since it would delay the first words.
   */
  changed(partId: string, read: ReadPart): void {
    const resting = this.#resting.get(partId);
    if (resting !== undefined && stageOf(read(partId)) <= resting.stage) resting.read = read;
    else this.#update(partId, read);
  }

  /** Sends all delayed updates immediately. */
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
    clearTimeout(this.#resting.get(partId)?.timer);
    const timer = setTimeout(() => this.#onRested(partId), this.#intervalMs);
    this.#resting.set(partId, { timer, stage: stageOf(part) });
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

const STAGES = ["pending", "running", "completed"];

/** Returns how far a tool call has come. Only forwards, so that few updates are immediate, whatever the agent reports. */
function stageOf(part: MessagePart | undefined): number {
  if (part?.type !== "tool") return 0;
  return part.status === "error" ? STAGES.indexOf("completed") : STAGES.indexOf(part.status);
}
