/**
 * Batches the span frames that arrive in quick succession and stores them together: 200 spans then cost one segment,
 * instead of several rows per frame. Batched frames may be lost safely, since they are not acknowledged yet and the
 * runner sends them again.
 */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";

export type ReceivedFrame = Omit<FromRunnerOf<"spans">, "type">;

/** In characters: some 400 typical spans, which fill two segments. */
const FULL_LENGTH = 512 * 1024;
/** How long a frame may wait for others, in milliseconds; a runner sends many at once. */
const WAIT_MS = 50;

export class TraceFrames {
  readonly #store: (frames: readonly ReceivedFrame[]) => void;
  #gathered: ReceivedFrame[] = [];
  #length = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param store stores frames in order, and acknowledges them. Must not throw, since no caller could handle it */
  constructor(store: (frames: readonly ReceivedFrame[]) => void) {
    this.#store = store;
  }

  add(frame: ReceivedFrame): void {
    this.#gathered.push(frame);
    this.#length += frame.otlp.length;
    if (this.#length >= FULL_LENGTH) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS);
  }

  /** Stores the batch. Call it before anything that needs the runner's spans to be complete. */
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
