/** Reads the skeleton of one trace, keeps it up to date, and makes models of it: at most one a frame, and fewer of large traces. */
import type { Schemas } from "../api/client.ts";
import { Reread } from "../api/reread.ts";
import { readSkeleton } from "../api/skeletons.ts";
import { buildModel, layOut, type Model, withCriticalPath } from "./model.ts";
import type { Linked } from "./rows.ts";
import { missingIn, SpanStore } from "./span-store.ts";

/** Making models takes at most a tenth of the time. */
const REST = 9;
/** Of larger traces the first rows show before the critical path is known. */
const MAX_AT_ONCE = 2_000;

export class LiveTrace {
  readonly traceId: string;
  readonly #sessionId: string;
  readonly #onChange: () => void;
  readonly #store = new SpanStore();
  readonly #again = new Reread(() => void this.read());
  #state: Linked = { state: "loading" };
  #next: string | undefined;
  #etag: string | undefined;
  #isReading = false;
  #isDirty = false;
  #isAgain = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #frame: number | undefined;
  #restUntil = 0;
  #isClosed = false;

  constructor(sessionId: string, traceId: string, onChange: () => void) {
    this.#sessionId = sessionId;
    this.traceId = traceId;
    this.#onChange = onChange;
    void this.read();
  }

  get state(): Linked {
    return this.#state;
  }

  /** Reads what is new since the last time, for example after a break of the live events. */
  async read(): Promise<void> {
    if (this.#isReading) {
      this.#isAgain = true;
      return;
    }
    this.#isReading = true;
    try {
      for (let isComplete = false; !isComplete && !this.#isClosed; ) {
        const open = this.#store.open();
        const page = await readSkeleton(this.#sessionId, this.traceId, { after: this.#next, etag: this.#etag });
        if (page === undefined) break;
        const { skeleton } = page;
        for (const chunk of skeleton.chunks) this.#store.take(chunk);
        // A complete answer has all that are open.
        if (skeleton.isComplete) this.#store.lose(missingIn(skeleton.chunks, open));
        // The tag is that of the answer to the same question: without a further page, and before a new one.
        this.#etag = skeleton.next === this.#next ? page.etag : undefined;
        this.#next = skeleton.next;
        isComplete = skeleton.isComplete;
      }
      this.#again.succeeded();
      this.#makeModel();
    } catch (error) {
      if (this.#isClosed) return;
      if (this.#state.state === "ready") this.#again.failed(error);
      else this.#set({ state: "failed", error });
    } finally {
      this.#isReading = false;
    }
    if (!this.#isAgain || this.#isClosed) return;
    this.#isAgain = false;
    await this.read();
  }

  /**
   * Takes a chunk of a live event. It is a part of the trace, which shows once the whole could be read.
   * @param lost the open spans whose ends are lost
   */
  take(chunk: Schemas["SkeletonChunk"], lost: readonly string[] = []): void {
    const [isChanged, isLess] = [this.#store.take(chunk), this.#store.lose(lost)];
    if (!(isChanged || isLess) || this.#state.state !== "ready") return;
    this.#isDirty = true;
    if (this.#timer !== undefined || this.#frame !== undefined) return;
    const waitMs = this.#restUntil - performance.now();
    if (waitMs <= 0) this.#nextFrame();
    else this.#timer = setTimeout(this.#nextFrame, waitMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#again.succeeded();
    clearTimeout(this.#timer);
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
  }

  readonly #nextFrame = (): void => {
    this.#timer = undefined;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = undefined;
      if (this.#isDirty) this.#makeModel();
    });
  };

  #makeModel(): void {
    if (this.#isClosed) return;
    this.#isDirty = false;
    const isFirst = this.#state.state !== "ready" && this.#store.size > MAX_AT_ONCE;
    const begun = performance.now();
    const model = (isFirst ? layOut : buildModel)(this.traceId, this.#store.spans());
    const ended = performance.now();
    this.#restUntil = ended + REST * (ended - begun);
    this.#set({ state: "ready", model });
    if (isFirst) afterPaint(() => this.#addCriticalPath(model));
  }

  /** @param model the one that is shown, unless there is a newer one, which has its own */
  #addCriticalPath(model: Model): void {
    if (this.#isClosed || this.#state.state !== "ready" || this.#state.model !== model) return;
    this.#set({ state: "ready", model: withCriticalPath(model) });
  }

  #set(state: Linked): void {
    this.#state = state;
    this.#onChange();
  }
}

/** Runs something once what has changed is on the screen. */
function afterPaint(run: () => void): void {
  requestAnimationFrame(() => setTimeout(run));
}
