/**
 * The runner's open spans. The runner reports a span to the session once it has been open for a while, and again on progress of
 * what it waits for. In a hanging turn this shows which step hangs, and since when.
 */

import { HEARD, type Heard } from "@valet/shared/heard";
import { type ReadableSpan, serialiseSpan } from "@valet/shared/tracing";

export interface OpenSpansOptions {
  /** The age at which an open span is reported, in milliseconds. */
  readonly minAgeMs?: number;
  /** The minimum interval between two reports of the same span's progress, in milliseconds. */
  readonly heardIntervalMs?: number;
  /** The same, if something is heard for the first time: until then the session shows that nothing was. */
  readonly firstHeardIntervalMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

interface Open {
  readonly span: ReadableSpan;
  readonly sinceMs: number;
  /** When it was last reported. */
  toldMs?: number;
  /** When each was last heard, epoch ms. */
  readonly heardMs: Map<Heard, number>;
  /** What was heard since the last report: nothing, more of the same, or something for the first time. */
  news: "none" | "more" | "first";
  /** Whether a descendant has ended. That one would have no parent if this process died before the report of this span. */
  isParent: boolean;
}

/** The maximum length of one span's text, in UTF-16 code units. A longer span is not reported while it is open. */
const MAX_SPAN_LENGTH = 48 * 1024;
/** The maximum length of all open spans in one frame, in UTF-16 code units. */
const MAX_FRAME_LENGTH = 64 * 1024;

/** An open span as `serialiseSpan` writes it. */
export interface OpenSpanText {
  readonly spanId: string;
  readonly text: string;
}

export class OpenSpans {
  readonly #minAgeMs: number;
  readonly #heardIntervalMs: number;
  readonly #firstHeardIntervalMs: number;
  readonly #now: () => number;
  readonly #open = new Map<string, Open>();

  constructor({
    minAgeMs = 250,
    heardIntervalMs = 5_000,
    firstHeardIntervalMs = 1_000,
    now = () => performance.now(),
  }: OpenSpansOptions = {}) {
    this.#minAgeMs = minAgeMs;
    this.#firstHeardIntervalMs = firstHeardIntervalMs;
    this.#heardIntervalMs = heardIntervalMs;
    this.#now = now;
  }

  /** @param span is read when it is reported, so later changes are included */
  begun(span: ReadableSpan): void {
    this.#open.set(span.context.spanId, {
      span,
      sinceMs: this.#now(),
      heardMs: new Map(),
      news: "none",
      isParent: false,
    });
  }

  ended(spanId: string): void {
    this.#open.delete(spanId);
  }

  /**
   * Returns the open ancestors of an ended span that have been neither reported nor returned before. The next frame reports
   * them, whatever their age.
   * @param parentId the parent of the ended span
   */
  above(parentId: string | undefined): OpenSpanText[] {
    const texts: OpenSpanText[] = [];
    for (let id = parentId; id !== undefined; ) {
      const open = this.#open.get(id);
      if (open === undefined || open.isParent) break;
      open.isParent = true;
      if (open.toldMs === undefined) texts.push({ spanId: id, text: textOf(open) });
      id = open.span.parent?.spanId;
    }
    return texts;
  }

  /** Records what was heard of what the span waits for. */
  heard(spanId: string, atMs: number, what: Heard): void {
    const open = this.#open.get(spanId);
    if (open === undefined) return;
    const isFirst = !open.heardMs.has(what);
    open.heardMs.set(what, Math.floor(Math.max(open.heardMs.get(what) ?? 0, atMs)));
    if (isFirst) open.news = "first";
    else if (open.news === "none") open.news = "more";
  }

  /** Returns the milliseconds until the next report is due; `undefined` if there is nothing to report. */
  dueInMs(): number | undefined {
    let due: number | undefined;
    for (const open of this.#open.values()) {
      const at = this.#dueMs(open);
      if (at !== undefined) due = Math.min(due ?? at, at);
    }
    return due === undefined ? undefined : Math.max(0, due - this.#now());
  }

  /** Returns the spans that are due, parents before their children, and marks them as reported. */
  take(): OpenSpanText[] {
    const texts: OpenSpanText[] = [];
    let length = 0;
    for (const [spanId, open] of this.#open) {
      const dueMs = this.#dueMs(open);
      if (dueMs === undefined || dueMs > this.#now()) continue;
      const text = textOf(open);
      if (text.length <= MAX_SPAN_LENGTH) {
        if (length + text.length > MAX_FRAME_LENGTH) break;
        length += text.length;
        texts.push({ spanId, text });
      }
      open.toldMs = this.#now();
      open.news = "none";
    }
    return texts;
  }

  #dueMs({ sinceMs, toldMs, news, isParent }: Open): number | undefined {
    if (toldMs === undefined) return isParent ? sinceMs : sinceMs + this.#minAgeMs;
    if (news === "none") return undefined;
    return toldMs + (news === "first" ? this.#firstHeardIntervalMs : this.#heardIntervalMs);
  }
}

function textOf({ span, heardMs }: Open): string {
  return serialiseSpan(
    span,
    [...heardMs].flatMap(([what, atMs]) => [HEARD[what], atMs]),
  );
}
