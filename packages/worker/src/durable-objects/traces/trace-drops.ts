/**
 * Lost spans: how many, by reason, which the next segment reports to the backend; and which, for certificates.
 *
 * Every call is synchronous and may run inside a caller's transaction.
 */
import type { DropReason } from "@valet/shared/tracing";
import type { SpanRef, TraceAccounts } from "./trace-accounts.ts";
import { type Segment, unpack } from "./trace-segments.ts";
import { reportedDrops, spansOf } from "./trace-text.ts";

export class TraceDrops {
  readonly #sql: SqlStorage;
  readonly #accounts: TraceAccounts;
  readonly #now: () => number;

  constructor(sql: SqlStorage, accounts: TraceAccounts, now: () => number) {
    this.#sql = sql;
    this.#accounts = accounts;
    this.#now = now;
  }

  /** Counts spans that were lost on their way to the store. @param unnamed how many others were lost with them */
  arriving(reason: DropReason, spans: readonly SpanRef[], unnamed = 0): void {
    this.#count(reason, spans.length + unnamed);
    this.#accounts.addLost("arriving", reason, spans);
    this.#accounts.addUnnamed(unnamed, this.#now());
  }

  /** Counts spans of traces of nobody knows whom. */
  foreign(spans: number): void {
    this.#count("invalid", spans);
  }

  /** Counts ends that a process sent for spans of the object itself, whose own ends count. */
  refused(spans: readonly SpanRef[]): void {
    this.#count("invalid", spans.length);
    this.#accounts.addRefused(spans);
  }

  /** Counts ends of spans that were sealed before. */
  late(spans: readonly SpanRef[]): void {
    this.#count("late", new Set(spans.map(({ spanId }) => spanId)).size);
    this.#accounts.addLate(spans);
  }

  /** Counts a segment, or a part of one, that will not reach the backend, and the drops that its own reports would have told. */
  leaving(reason: DropReason, { spans, body }: Pick<Segment, "spans" | "body">): void {
    const text = unpack(body);
    this.#count(reason, spans);
    this.#accounts.addLost("leaving", reason, spansOf(text));
    for (const drop of reportedDrops(text)) this.#count(drop.reason, drop.spans);
  }

  /** Counts spans of a segment, or of a part of one, that the backend rejected without saying which. */
  rejected(rejected: number, { spans, body }: Pick<Segment, "spans" | "body">): void {
    if (rejected <= 0) return;
    this.#count("rejected", Math.min(rejected, spans));
    this.#accounts.addRejected(spansOf(unpack(body)), rejected);
  }

  /** Notes spans that have arrived, and of which the backend may have rejected any. */
  doubtful({ body }: Pick<Segment, "body">): void {
    this.#accounts.addDoubtful(spansOf(unpack(body)));
  }

  #count(reason: DropReason, spans: number): void {
    if (spans === 0) return;
    this.#sql.exec(
      "INSERT INTO trace_drops (reason, spans) VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET spans = spans + excluded.spans",
      reason,
      spans,
    );
  }

  /** Takes the counts, to be reported. */
  take(): readonly { readonly reason: DropReason; readonly spans: number }[] {
    return this.#sql.exec<{ reason: DropReason; spans: number }>("DELETE FROM trace_drops RETURNING *").toArray();
  }
}
