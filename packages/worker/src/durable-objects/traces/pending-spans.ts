/**
 * What the running transaction has recorded and not written yet: the object's own open spans that it began, changed or ended, and
 * ended spans on their way to the tail. They are written once, before the commit: a span that begins and ends in one transaction
 * is never written as open, one that changes several times is written once, and all that end become one row of the tail. Beside that,
 * the last open spans that were written or read, as the database has them.
 */
import type { OpenSpan } from "@valet/shared/tracing";
import type { TailEntry } from "./tail-parts.ts";

interface OwnSpan {
  /** Its current data; `undefined` once it has ended. */
  readonly open: OpenSpan | undefined;
  /** Whether the database may hold it as open. */
  readonly isStored: boolean;
}

/** How many stored open spans are remembered, so that the next change of one does not read it again. */
const MAX_REMEMBERED = 100;

export class PendingSpans {
  readonly #own = new Map<string, OwnSpan>();
  /** Open spans as the database has them. */
  readonly #stored = new Map<string, OpenSpan>();
  #ended: TailEntry[] = [];

  /** Takes a span that began or changed. */
  keep(span: OpenSpan): void {
    const { spanId } = span.context;
    const isStored = this.#own.get(spanId)?.isStored ?? this.#stored.has(spanId);
    this.#own.set(spanId, { open: span, isStored });
  }

  /** Remembers a span that the database holds as open. */
  remember(span: OpenSpan): void {
    this.#stored.set(span.context.spanId, span);
    for (const oldest of this.#stored.keys()) {
      if (this.#stored.size <= MAX_REMEMBERED) return;
      this.#stored.delete(oldest);
    }
  }

  /** Removes a span that ended. */
  drop(spanId: string): void {
    const known = this.#own.get(spanId);
    if (known?.isStored === false) this.#own.delete(spanId);
    else this.#own.set(spanId, { open: undefined, isStored: true });
  }

  append(entries: readonly TailEntry[]): void {
    this.#ended.push(...entries);
  }

  /** Whether {@link openSpan} says how a span is, without the database. */
  knows(spanId: string): boolean {
    return this.#own.has(spanId) || this.#stored.has(spanId);
  }

  /** Returns a span that is open; `undefined` if it has ended. */
  openSpan(spanId: string): OpenSpan | undefined {
    return this.#own.has(spanId) ? this.#own.get(spanId)?.open : this.#stored.get(spanId);
  }

  /** Whether the transaction has recorded spans of a trace. */
  hasTrace(traceId: string): boolean {
    return (
      [...this.#own.values()].some(({ open }) => open?.context.traceId === traceId) ||
      this.#ended.some(({ spans }) => spans.some((span) => span.traceId === traceId))
    );
  }

  /** Takes the open spans to write, and the ids of those to delete. */
  takeOwn(): { readonly kept: readonly OpenSpan[]; readonly dropped: readonly string[] } {
    const changed = [...this.#own];
    this.#own.clear();
    for (const [spanId] of changed) this.#stored.delete(spanId);
    return {
      kept: changed.flatMap(([, { open }]) => open ?? []),
      dropped: changed.flatMap(([spanId, { open }]) => (open === undefined ? spanId : [])),
    };
  }

  /** Takes the ended spans. */
  takeEnded(): readonly TailEntry[] {
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  /** Forgets everything, after a rollback. */
  clear(): void {
    this.#own.clear();
    this.#stored.clear();
    this.#ended = [];
  }
}
