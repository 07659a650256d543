/**
 * Deletes the session: on request, with its parent, or some time after its end. The order: its work is refused and ended; the sandbox
 * and its snapshots end at the broker; the capacity object, the children and the parent know; what waits is exported, or counted; D1
 * has the tombstone, in one batch with the removal of the session's rows; the object's database and its alarm are removed.
 *
 * Each step follows from the stored state, at the end of any transaction, and a timer is set until the last one. So a crash repeats
 * the step that it interrupted, and each step may be repeated. After the last one nothing is left that could be.
 */
import { endWith } from "@valet/shared/outcome";
import type { DeleteReason, TerminateReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import { type DeletedSession, deleteSession } from "../../database/deleted-sessions.ts";
import { recordDeleted } from "../../database/webhooks.ts";
import type { Asker } from "../core/asker.ts";
import { isoTime } from "../core/iso-time.ts";
import type { DeletionRecord, SessionState } from "../core/session-state.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import { type DeletionFacts, nextLookMs, nextStep, SETTLE_MS } from "./deletion-rules.ts";

export interface SessionDeletionOptions {
  readonly sql: SqlStorage;
  readonly storage: Pick<DurableObjectStorage, "deleteAll" | "deleteAlarm">;
  readonly db: D1Database;
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly tracer: SessionTracer;
  readonly now: () => number;
  /** How long after its end a terminated session is deleted, in ms. */
  readonly retentionMs: number;
  /** The wait before the last step is tried again, in ms; it doubles. */
  readonly retryMs: number;
  readonly lifecycle: { terminate(reason: TerminateReason, asker: Asker): void };
  readonly children: {
    deleteNext(deletedBy: string | null, after: number, limit: number): number | undefined;
    countAfter(after: number): number;
  };
  readonly exporter: { tryAgain(): void; shortfall(): { readonly waitingSpans: number } | undefined };
  /** Events for endpoints of webhooks, which go with the session. */
  readonly notices: { waiting(): ReadonlyMap<string, number> };
  /** Passes the recorded spans to the export. */
  readonly boundary: () => void;
  /** Closes the sockets of clients and runners. */
  readonly closeSockets: () => void;
  /** Ends this life of the object. */
  readonly restart: () => void;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

export interface DeletionRequest {
  readonly reason: DeleteReason;
  /** The user who asked for it; `null` if the retention period has passed. */
  readonly by: string | null;
  /** The span of the request. */
  readonly cause?: SpanContext | undefined;
}

/** After this long without an answer of D1 the last step is tried again, in ms. */
const ERASE_MS = 60_000;
/** How many calls may be unfinished when the deletion of another child begins: thousands at once would be late, each of them. */
const MAX_CALLS = 50;
const LONGEST_RETRY_MS = 10 * 60_000;

export class SessionDeletion {
  readonly #options: SessionDeletionOptions;
  #isErasing = false;
  #tries = 0;
  /** When the last step may be tried again, epoch ms. */
  #retryAtMs = 0;
  readonly timerHandlers: TimerHandlers<"retention" | "deletion"> = {
    retention: () => this.#onRetention(),
    // The timer's transaction ends with `advance`.
    deletion: () => {},
  };

  constructor(options: SessionDeletionOptions) {
    this.#options = options;
  }

  /** Whether the object's database has been removed. */
  get isDone(): boolean {
    return this.#options.transactions.isOver;
  }

  /** Sets the retention period of a session that an earlier version terminated. Called when the object starts. */
  resume(): void {
    const { state, timers } = this.#options;
    if (state.record.state === "terminated" && timers.dueMs("retention") === undefined) this.onTerminated();
  }

  /** Begins the deletion. Idempotent: the first request counts. */
  begin({ reason, by, cause }: DeletionRequest): void {
    const { state, tracer, timers, lifecycle, now } = this.#options;
    const { deletion, endContext, startContext } = state.record;
    if (deletion !== undefined) return;
    const follows = endContext ?? startContext;
    const { context } = tracer.start("valet.session.delete", {
      attributes: { "valet.delete.reason": reason, "user.id": by ?? undefined },
      links: [
        ...(cause === undefined ? [] : [{ context: cause, attributes: { "valet.link.type": "caused_by" } } as const]),
        ...(follows === undefined ? [] : [{ context: follows, attributes: { "valet.link.type": "follows" } } as const]),
      ],
    });
    // Terminated children have their own retention period.
    const children = reason === "retention" ? {} : { childrenAfter: 0 };
    state.update({ deletion: { reason, by, sinceMs: now(), context, ...children } });
    timers.clear("retention");
    lifecycle.terminate("session_deleted", { context, ...(by !== null && { userId: by }) });
  }

  /** Begins the deletion of a terminated session whose retention period is over. */
  checkRetention(): void {
    const { state, deletion } = this.#options.state.record;
    if (state === "terminated" && deletion === undefined) this.#onRetention();
  }

  /** Starts the retention period. */
  onTerminated(): void {
    const { state, timers } = this.#options;
    if (state.record.deletion === undefined) timers.set("retention", this.#retainedUntilMs);
  }

  /** Takes the steps that are due. Called at the end of every transaction, and after each export. */
  advance(): void {
    const { state, timers, boundary, now } = this.#options;
    this.#deleteChildren();
    const { deletion } = state.record;
    if (deletion === undefined) return;
    // Requests may have left spans since everything had ended.
    if (deletion.endedMs !== undefined) boundary();
    const facts = this.#facts(deletion);
    const step = nextStep(facts, now());
    if (step === "close") {
      this.#close(deletion, facts.unfinishedCalls);
      return this.advance();
    }
    if (step === "erase" && !this.#isErasing && this.#retryAtMs <= now()) return this.#beginErasing();
    if (timers.dueMs("deletion") === undefined) timers.set("deletion", nextLookMs(facts, now()));
  }

  /** Begins to delete the next children, as others have answered. */
  #deleteChildren(): void {
    const { state, children, now } = this.#options;
    const { deletion } = state.record;
    if (deletion?.childrenAfter === undefined) return;
    const { childrenAfter, ...rest } = deletion;
    // Children that never answer must not keep the others from being deleted at all.
    const isLate = now() - deletion.sinceMs > SETTLE_MS / 2;
    const room = isLate ? MAX_CALLS : MAX_CALLS - this.#unfinishedCalls;
    if (room <= 0) return;
    const after = children.deleteNext(deletion.by, childrenAfter, room);
    state.update({ deletion: { ...rest, ...(after !== undefined && { childrenAfter: after }) } });
  }

  /** How many calls to the broker and to other objects are not acknowledged. */
  get #unfinishedCalls(): number {
    // The row of the session in D1 is deleted, so nobody waits for its projection. A sandbox or a snapshot that a late answer of the
    // broker names becomes an orphan. Events that wait for an endpoint go with the session; there may be thousands.
    const [row] = this.#options.sql
      .exec(
        `SELECT (SELECT COUNT(*) FROM durable_calls WHERE kind < 'projection')
           + (SELECT COUNT(*) FROM durable_calls WHERE kind > 'projection' AND kind < 'webhook')
           + (SELECT COUNT(*) FROM durable_calls WHERE kind > 'webhook') + (SELECT COUNT(*) FROM broker_calls) AS calls`,
      )
      .toArray();
    return row?.calls as number;
  }

  #onRetention(): void {
    const { timers, now } = this.#options;
    const dueMs = this.#retainedUntilMs;
    if (dueMs > now()) timers.set("retention", dueMs);
    else this.begin({ reason: "retention", by: null });
  }

  /** The period may have changed since the timer was set. */
  get #retainedUntilMs(): number {
    const { terminatedMs, updatedMs } = this.#options.state.record;
    return (terminatedMs ?? updatedMs) + this.#options.retentionMs;
  }

  #facts({ sinceMs, endedMs }: DeletionRecord): DeletionFacts {
    const { sql, state, exporter } = this.#options;
    return {
      isTerminated: state.record.state === "terminated",
      unfinishedCalls: this.#unfinishedCalls,
      waitingTurns: sql.exec("SELECT COUNT(*) AS turns FROM projected_turns").one().turns as number,
      waitingSpans: endedMs === undefined ? 0 : (exporter.shortfall()?.waitingSpans ?? 0),
      sinceMs,
      endedMs,
    };
  }

  /** Records that everything has ended, and has the spans exported that wait. */
  #close({ childrenAfter, ...deletion }: DeletionRecord, begun: number): void {
    const { state, tracer, exporter, children, now } = this.#options;
    const unfinishedCalls = begun + (childrenAfter === undefined ? 0 : children.countAfter(childrenAfter));
    tracer.change("valet.session.delete", deletion.context, (span) => {
      if (unfinishedCalls > 0) span.setAttribute("valet.delete.unfinished_calls", unfinishedCalls);
      endWith(span, "ok");
    });
    state.update({ deletion: { ...deletion, endedMs: now(), unfinishedCalls } });
    exporter.tryAgain();
  }

  #beginErasing(): void {
    const { timers, transactions, background, now } = this.#options;
    this.#isErasing = true;
    transactions.onRollback(() => {
      this.#isErasing = false;
    });
    timers.set("deletion", now() + ERASE_MS);
    transactions.afterCommit(() => background(this.#erase()));
  }

  /** Never rejects. */
  async #erase(): Promise<void> {
    const { db, storage, transactions, timers, notices, closeSockets, restart, report, now, retryMs } = this.#options;
    try {
      const tombstone = this.#tombstone();
      await db.batch([...recordDeleted(db, tombstone.id, notices.waiting()), ...deleteSession(db, tombstone)]);
      transactions.end();
      closeSockets();
      await storage.deleteAll();
      // Where that leaves the alarm, which finds nothing if it fires before.
      await storage.deleteAlarm();
    } catch (error) {
      report(error);
      // The object starts again, with its alarm.
      if (transactions.isOver) return restart();
      this.#isErasing = false;
      this.#retryAtMs = now() + Math.min(retryMs * 2 ** this.#tries++, LONGEST_RETRY_MS);
      const dueMs = this.#retryAtMs;
      transactions.run(() => timers.set("deletion", dueMs));
    }
  }

  #tombstone(): DeletedSession {
    const { state, exporter, now } = this.#options;
    const { id, ownerId, deletion } = state.record;
    const { reason, by, unfinishedCalls = 0 } = deletion as DeletionRecord;
    return {
      id,
      ownerId,
      deletedAt: isoTime(now()),
      reason,
      deletedBy: by,
      spansNotExported: exporter.shortfall()?.waitingSpans ?? 0,
      unfinishedCalls,
    };
  }
}
