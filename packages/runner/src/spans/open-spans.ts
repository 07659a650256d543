/**
 * The runner's spans that have begun and not ended. The session is told of those that are open for a while, and again when
 * something is heard of what they wait for: whoever looks at a hanging turn sees which step hangs, and since when.
 */
import { type ReadableSpan, serialiseSpan } from "@valet/shared/tracing";

export interface OpenSpansOptions {
  /** Spans that end sooner than this are not told of while they are open, in milliseconds. */
  readonly minAgeMs?: number;
  /** How often the session is told that more was heard of the same span, in milliseconds. */
  readonly heardIntervalMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

interface Open {
  readonly span: ReadableSpan;
  readonly sinceMs: number;
  /** When the session was told of it last. */
  toldMs?: number;
  /** When something was last heard of what it waits for, epoch ms. */
  heardMs?: number;
  /** Whether the session does not know yet that anything was heard, or how lately. */
  isHeardNew: boolean;
  /** Whether a span below it has ended: without it that one would have no parent, should this process die. */
  isParent: boolean;
}

/** Of one span as text. What is larger is not told of while it is open. */
const MAX_SPAN_LENGTH = 48 * 1024;
/** Of all that go with one frame, in UTF-16 code units. */
const MAX_FRAME_LENGTH = 64 * 1024;

/** An open span as `serialiseSpan` writes it. */
export interface OpenSpanText {
  readonly spanId: string;
  readonly text: string;
}

export class OpenSpans {
  readonly #minAgeMs: number;
  readonly #heardIntervalMs: number;
  readonly #now: () => number;
  readonly #open = new Map<string, Open>();

  constructor({ minAgeMs = 250, heardIntervalMs = 5_000, now = () => performance.now() }: OpenSpansOptions = {}) {
    this.#minAgeMs = minAgeMs;
    this.#heardIntervalMs = heardIntervalMs;
    this.#now = now;
  }

  /** @param span as it is, and as it will be: it is read when the session is told of it */
  begun(span: ReadableSpan): void {
    this.#open.set(span.context.spanId, { span, sinceMs: this.#now(), isHeardNew: false, isParent: false });
  }

  ended(spanId: string): void {
    this.#open.delete(spanId);
  }

  /**
   * Returns the open spans above one that has ended, where the session was not told of them and
   * they were not returned before. They are told of with the next frame, however short they have been open.
   * @param parentId of the span that has ended
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

  /** Notes that something came from what the span waits for: a byte of a model's answer, output of a tool. */
  heard(spanId: string, atMs: number): void {
    const open = this.#open.get(spanId);
    if (open === undefined) return;
    open.heardMs = Math.floor(Math.max(open.heardMs ?? 0, atMs));
    open.isHeardNew = true;
  }

  /** Milliseconds until there is something to tell; `undefined` while there is nothing that waits for it. */
  dueInMs(): number | undefined {
    let due: number | undefined;
    for (const open of this.#open.values()) {
      const at = this.#dueMs(open);
      if (at !== undefined) due = Math.min(due ?? at, at);
    }
    return due === undefined ? undefined : Math.max(0, due - this.#now());
  }

  /** Takes what is to be told now: parents before their children. */
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
      open.isHeardNew = false;
    }
    return texts;
  }

  #dueMs({ sinceMs, toldMs, isHeardNew, isParent }: Open): number | undefined {
    if (toldMs === undefined) return isParent ? sinceMs : sinceMs + this.#minAgeMs;
    return isHeardNew ? toldMs + this.#heardIntervalMs : undefined;
  }
}

function textOf({ span, heardMs }: Open): string {
  if (heardMs === undefined) return serialiseSpan(span);
  const { context, parent, name, kind, startTime, events, links, statusCode, statusMessage } = span;
  const { droppedAttributes, droppedEvents, droppedLinks } = span;
  return serialiseSpan({
    context,
    parent,
    name,
    kind,
    startTime,
    events,
    links,
    statusCode,
    statusMessage,
    droppedAttributes,
    droppedEvents,
    droppedLinks,
    attributes: [...span.attributes, "valet.last_heard_ms", heardMs],
  });
}
