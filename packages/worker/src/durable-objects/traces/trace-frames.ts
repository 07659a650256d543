/**
 * Gathers the span frames that come in quick succession, so that they are stored as one: 200 spans then cost one segment, where
 * each frame would cost rows of its own. What is gathered needs no care: it is not acknowledged, and comes again if it is lost.
 */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";

export type ReceivedFrame = Omit<FromRunnerOf<"spans">, "type">;

/** In characters: some 400 spans as models and tools have them, which fill two segments. */
const FULL_LENGTH = 512 * 1024;
/** How long a frame may wait for others, in milliseconds: a runner has many on their way at once. */
const WAIT_MS = 50;

export class TraceFrames {
  readonly #store: (frames: readonly ReceivedFrame[]) => void;
  #gathered: ReceivedFrame[] = [];
  #length = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param store stores frames, in the order they came, and acknowledges them. Must not throw: nobody would hear it */
  constructor(store: (frames: readonly ReceivedFrame[]) => void) {
    this.#store = store;
  }

  add(frame: ReceivedFrame): void {
    this.#gathered.push(frame);
    this.#length += frame.otlp.length;
    if (this.#length >= FULL_LENGTH) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS);
  }

  /** Stores what has been gathered: before anything that takes the runner's spans for complete. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const frames = this.#gathered;
    if (frames.length === 0) return;
    this.#gathered = [];
    this.#length = 0;
    this.#store(frames);
  }
}
