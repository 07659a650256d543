/**
 * Lost spans: how many, by reason, which the next segment reports to the backend; and which, for certificates.
 *
 * Every call is synchronous and may run inside a caller's transaction.
 */
import type { DropReason } from "@valet/shared/tracing";
import type { SpanRef, TraceAccounts } from "./trace-accounts.ts";
import { type Segment, unpack } from "./trace-segments.ts";
import { hasOnlyReports, reportedDrops, spansOf } from "./trace-text.ts";

/** Stands before the reason of a count that was reported once, in a report that was lost. */
const AGAIN = "again:";

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

  /**
   * Counts a segment, or a part of one, that will not reach the backend, and the drops that its own reports would have told. A report
   * that was alone in it is no loss to be reported: each report of the loss of a report would be lost in the same way.
   */
  leaving(reason: DropReason, { spans, body }: Pick<Segment, "spans" | "body">): void {
    const text = unpack(body);
    const isReport = hasOnlyReports(text);
    if (!isReport) this.#count(reason, spans);
    this.#accounts.addLost("leaving", reason, spansOf(text));
    for (const drop of reportedDrops(text)) this.#count(isReport ? `${AGAIN}${drop.reason}` : drop.reason, drop.spans);
  }

  /** Counts spans of a segment, or of a part of one, that the backend rejected without saying which. */
  rejected(rejected: number, { spans, body }: Pick<Segment, "spans" | "body">): void {
    if (rejected <= 0) return;
    const text = unpack(body);
    if (!hasOnlyReports(text)) this.#count("rejected", Math.min(rejected, spans));
    this.#accounts.addRejected(spansOf(text), rejected);
  }

  /** Notes spans that have arrived, and of which the backend may have rejected any. */
  doubtful({ body }: Pick<Segment, "body">): void {
    this.#accounts.addDoubtful(spansOf(unpack(body)));
  }

  #count(reason: DropReason | `${typeof AGAIN}${DropReason}`, spans: number): void {
    if (spans === 0) return;
    this.#sql.exec(
      "INSERT INTO trace_drops (reason, spans) VALUES (?, ?) ON CONFLICT (reason) DO UPDATE SET spans = spans + excluded.spans",
      reason,
      spans,
    );
  }

  /**
   * Takes the counts, to be reported.
   * @param isAlone whether nothing else is to be sent with the report: then what a lost report has told waits
   */
  take(isAlone: boolean): readonly { readonly reason: DropReason; readonly spans: number }[] {
    const read = () => this.#sql.exec<{ reason: string }>("SELECT reason FROM trace_drops").toArray();
    if (isAlone && read().every(({ reason }) => reason.startsWith(AGAIN))) return [];
    const counts = new Map<DropReason, number>();
    const taken = this.#sql.exec<{ reason: string; spans: number }>("DELETE FROM trace_drops RETURNING *").toArray();
    for (const { reason: key, spans } of taken) {
      const reason = (key.startsWith(AGAIN) ? key.slice(AGAIN.length) : key) as DropReason;
      counts.set(reason, (counts.get(reason) ?? 0) + spans);
    }
    return [...counts].map(([reason, spans]) => ({ reason, spans }));
  }
}
