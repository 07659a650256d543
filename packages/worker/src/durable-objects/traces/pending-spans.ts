/**
 * What the running transaction has recorded and not written yet: the object's own open spans that it began, changed or ended, and
 * ended spans on their way to the tail. They are written once, before the commit: a span that begins and ends in one transaction
 * is never written as open, one that changes several times is written once, and all that end become one row of the tail.
 */
import type { OpenSpan } from "@valet/shared/tracing";
import type { TailEntry } from "./tail-parts.ts";

interface OwnSpan {
  /** Its current data; `undefined` once it has ended. */
  readonly open: OpenSpan | undefined;
  /** Whether the database may hold it as open. */
  readonly isStored: boolean;
  readonly hasChanged: boolean;
}

export class PendingSpans {
  readonly #own = new Map<string, OwnSpan>();
  #ended: TailEntry[] = [];

  /** Takes a span that began or changed. */
  keep(span: OpenSpan): void {
    const { spanId } = span.context;
    this.#own.set(spanId, { open: span, isStored: this.#own.get(spanId)?.isStored ?? false, hasChanged: true });
  }

  /** Takes note of a span that the database holds as open, so that the next read of it costs nothing. */
  hasRead(span: OpenSpan): void {
    this.#own.set(span.context.spanId, { open: span, isStored: true, hasChanged: false });
  }

  /** Removes a span that ended. */
  drop(spanId: string): void {
    const known = this.#own.get(spanId);
    if (known?.isStored === false) this.#own.delete(spanId);
    else this.#own.set(spanId, { open: undefined, isStored: true, hasChanged: true });
  }

  append(entries: readonly TailEntry[]): void {
    this.#ended.push(...entries);
  }

  /** Whether the transaction knows of a span: then {@link openSpan} has its data, or it has ended. */
  knows(spanId: string): boolean {
    return this.#own.has(spanId);
  }

  openSpan(spanId: string): OpenSpan | undefined {
    return this.#own.get(spanId)?.open;
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
    const changed = [...this.#own].filter(([, { hasChanged }]) => hasChanged);
    this.#own.clear();
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
    this.#ended = [];
  }
}
