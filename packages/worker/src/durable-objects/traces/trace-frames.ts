/**
 * Batches the span frames that arrive in quick succession and stores them together: 200 spans then cost one segment,
 * instead of several rows per frame. Batched frames may be lost with the object, since they are not acknowledged yet and the
 * runner sends them again when it connects again. They may not be lost otherwise: an acknowledgement of a later frame covers them.
 */
import type { SpanFrame } from "@valet/shared/protocol/span-frame";

/** In characters: some 400 typical spans, which fill two segments. */
const FULL_LENGTH = 512 * 1024;
/** How long a frame may wait for others, in milliseconds; a runner sends many at once. */
const WAIT_MS = 50;
/** How long frames that could not be stored wait to be stored again, in milliseconds. */
const RETRY_MS = 1000;
/** How much is kept that cannot be stored, in characters. A runner has at most 16 MB unacknowledged; more is dropped. */
const MAX_LENGTH = 32 * 1024 * 1024;

export class TraceFrames {
  readonly #store: (frames: readonly SpanFrame[]) => void;
  #gathered: SpanFrame[] = [];
  #length = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param store stores frames in order, and acknowledges them. Must not throw, since no caller could handle it */
  constructor(store: (frames: readonly SpanFrame[]) => void) {
    this.#store = store;
  }

  add(frame: SpanFrame): void {
    this.#gathered.push(frame);
    this.#length += frame.otlp.length;
    if (this.#length >= FULL_LENGTH) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS);
  }

  /** Takes back frames that were not stored after all: they are stored before those that arrived since, and in their order. */
  putBack(frames: readonly SpanFrame[]): void {
    const length = frames.reduce((sum, { otlp }) => sum + otlp.length, 0);
    if (this.#length + length > MAX_LENGTH) return;
    this.#gathered.unshift(...frames);
    this.#length += length;
    this.#timer ??= setTimeout(() => this.flush(), RETRY_MS);
  }

  /** Stores the batch. Call it before anything that needs the runner's spans to be complete. */
  flush(): void {
    const frames = this.take();
    if (frames.length > 0) this.#store(frames);
  }

  /** Takes the batch, to be stored by the caller. */
  take(): readonly SpanFrame[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const frames = this.#gathered;
    this.#gathered = [];
    this.#length = 0;
    return frames;
  }
}
