/**
 * The accounts of traces: one small row for each trace with which something out of the ordinary happened, or of which segments are
 * deleted. It outlives the segments. Beside them, how many spans were lost that nobody can name.
 *
 * Every call is synchronous and may run inside a caller's transaction.
 */
import type { DropReason } from "@valet/shared/tracing";
import {
  type Account,
  type RemovedSpan,
  type Seal,
  withDoubtful,
  withLate,
  withLost,
  withRefused,
  withRejected,
  withRemoved,
  withSealed,
} from "./account-rules.ts";

/** A span, wherever its text is. */
export interface SpanRef {
  readonly traceId: string;
  readonly spanId: string;
}

/** Spans that were lost and that nobody can name, for example of an unreadable frame of an older runner. */
export interface Unnamed {
  readonly spans: number;
  /** When the first and the last of them were lost, epoch ms. */
  readonly fromMs: number;
  readonly toMs: number;
}

/** How many traces have an account, the newest ones: a session has far fewer whose segments are deleted. */
const MAX_ACCOUNTS = 10_000;
/** The place of what nobody can name; no trace has this id. */
const NOBODY = "";

export class TraceAccounts {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Returns a trace's account; `undefined` if it has none. */
  of(traceId: string): Account | undefined {
    return this.#read(traceId) as Account | undefined;
  }

  /** Returns the spans that were lost and that nobody can name; `undefined` if there are none. */
  unnamed(): Unnamed | undefined {
    return this.#read(NOBODY) as Unnamed | undefined;
  }

  addUnnamed(spans: number, nowMs: number): void {
    if (spans <= 0) return;
    const { spans: before, fromMs } = this.unnamed() ?? { spans: 0, fromMs: nowMs };
    this.#write(NOBODY, { spans: before + spans, fromMs, toMs: nowMs } satisfies Unnamed);
  }

  /** Adds lost spans. @param where they were on their way to: the store, or the backend */
  addLost(where: "arriving" | "leaving", reason: DropReason, spans: Iterable<SpanRef>): void {
    this.#change(spans, (account, ids) => withLost(account, where, reason, ids));
  }

  addSealed(seal: Pick<Seal, "cause" | "lastFrameMs">, spans: Iterable<SpanRef>): void {
    this.#change(spans, (account, ids) => withSealed(account, seal, ids));
  }

  addLate(spans: Iterable<SpanRef>): void {
    this.#change(spans, withLate);
  }

  addRefused(spans: Iterable<SpanRef>): void {
    this.#change(spans, (account, ids) => withRefused(account, ids.length));
  }

  /** Adds spans that the backend refused of a request. @param spans all of the request's @param rejected how many of them */
  addRejected(spans: readonly SpanRef[], rejected: number): void {
    if (rejected >= spans.length) return this.addLost("leaving", "rejected", spans);
    const isAlone = new Set(spans.map(({ traceId }) => traceId)).size === 1;
    this.#change(spans, (account) => withRejected(account, rejected, isAlone));
  }

  /** Adds spans of which the backend may have rejected any. */
  addDoubtful(spans: readonly SpanRef[]): void {
    this.#change(spans, (account, ids) => withDoubtful(account, ids.length));
  }

  /** Adds a segment that is deleted. */
  addRemoved(
    spans: readonly (SpanRef & RemovedSpan)[],
    segment: { readonly isSampled: boolean; readonly isAcknowledged: boolean },
  ): void {
    for (const [traceId, removed] of Map.groupBy(spans, (span) => span.traceId)) {
      this.#write(traceId, withRemoved(this.of(traceId) ?? {}, removed, segment));
    }
  }

  #change(spans: Iterable<SpanRef>, change: (account: Account, spanIds: string[]) => Account): void {
    for (const [traceId, refs] of Map.groupBy(spans, (span) => span.traceId)) {
      const ids = refs.map(({ spanId }) => spanId);
      this.#write(traceId, change(this.of(traceId) ?? {}, ids));
    }
  }

  #read(traceId: string): object | undefined {
    const [row] = this.#sql
      .exec<{ account: string }>("SELECT account FROM trace_accounts WHERE trace_id = ?", traceId)
      .toArray();
    return row === undefined ? undefined : (JSON.parse(row.account) as object);
  }

  #write(traceId: string, account: Account | Unnamed): void {
    this.#sql.exec(
      `INSERT INTO trace_accounts (trace_id, account) VALUES (?, ?)
       ON CONFLICT (trace_id) DO UPDATE SET account = excluded.account`,
      traceId,
      JSON.stringify(account),
    );
    this.#sql.exec(
      "DELETE FROM trace_accounts WHERE seq <= (SELECT MAX(seq) FROM trace_accounts) - ? AND trace_id <> ?",
      MAX_ACCOUNTS,
      NOBODY,
    );
  }
}
