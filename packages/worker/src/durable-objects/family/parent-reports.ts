/**
 * A child session's reports to its parent: its work is done, has failed, or the session has ended. They are derived
 * from the session's state at the end of each transaction, so no code path can forget them, and sent until the parent
 * has acknowledged them or no longer exists.
 */

import { endWith } from "@valet/shared/outcome";
import type { ApiProblemName } from "@valet/shared/protocol/api-problems";
import { viewFailure } from "@valet/shared/protocol/failure";
import { type ChildSessionEvent, isFailureType } from "@valet/shared/spans";
import { head } from "@valet/shared/text";
import { contextHeaders, type SpanContext, SpanKind } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { DurableCalls } from "../core/durable-call.ts";
import type { Result } from "../core/result.ts";
import type { SessionRecord } from "../core/session-state.ts";
import type { TimerHandlers } from "../core/timers.ts";
import type { JobRow, JobStore } from "../queue/job-store.ts";
import { type ChildReport, PEER_CALL_MS } from "./family.ts";
import type { FamilyOptions } from "./family-options.ts";

export interface ParentReportsOptions extends FamilyOptions {
  readonly jobs: JobStore;
  readonly work: { readonly isBusy: boolean; readonly hasWork: boolean };
  readonly answers: { textTo(row: JobRow): string };
  readonly costs: { cost(): { readonly usd: number | null; readonly isPartial: boolean } };
  /** Hands the recorded spans to export, since the object may become idle after a report. */
  readonly boundary: () => void;
}

const MAX_ANSWER_LENGTH = 8000;

type DueReport = Pick<ChildReport, "id" | "event" | "outcome" | "errorType" | "why" | "answer"> & {
  /** The operation that the report is about. */
  readonly operation: SpanContext | undefined;
};

/** A pending report with its span, which is open until the parent has acknowledged it. */
interface Outgoing {
  readonly report: ChildReport;
  readonly span: SpanContext;
}

export class ParentReports {
  readonly #options: ParentReportsOptions;
  /** All reports have one key, so that they arrive in order. */
  readonly #calls: DurableCalls<Outgoing, Result<void>>;
  readonly timerHandlers: TimerHandlers<"parent-report">;

  constructor(options: ParentReportsOptions) {
    this.#options = options;
    this.#calls = new DurableCalls<Outgoing, Result<void>>("parent-report", options, {
      delivers: "all",
      timeoutMs: PEER_CALL_MS,
      call: ({ payload: { report } }) => {
        const { parentSessionId = "", ownerId, userId = ownerId } = options.state.record;
        return options.callPeer(parentSessionId, (parent) => parent.takeChildReport(report, { ownerId, userId }));
      },
      settle: (result, { payload }) => {
        const isGone = GONE.some((name) => isRefused(result, name));
        if (!result.ok && !isGone) return "retry";
        this.#delivered(payload, isGone);
        return "done";
      },
    });
    this.timerHandlers = { "parent-report": this.#calls.onTimer };
  }

  /** Continues pending calls after the object has started. */
  resume(): void {
    this.#calls.resume();
  }

  /** Records that the parent expects a report about this message. */
  expect(messageId: string): void {
    this.#options.sql.exec("INSERT OR IGNORE INTO parent_messages VALUES (?)", messageId);
  }

  /** Refuses this session's creation from now on, since the parent has ended before it was created. */
  neverMake(): void {
    this.#options.sql.exec("INSERT OR IGNORE INTO parent_refused VALUES (1)");
  }

  get isNeverMade(): boolean {
    return this.#options.sql.exec("SELECT 1 FROM parent_refused").toArray().length > 0;
  }

  /** Records the reports that are due. Called at the end of every transaction with changes. */
  recordDue(): void {
    const { state } = this.#options;
    const { record } = state;
    if (record.parentSessionId === undefined || record.state === "terminating") return;
    const due = this.#due(record);
    if (due === undefined) return;
    this.#options.sql.exec("DELETE FROM parent_messages");
    this.#add(due, record.parentSessionId, record);
  }

  #due({ id, state, errorType, failure, generation, startContext, endContext }: SessionRecord): DueReport | undefined {
    if (state === "terminated")
      return this.#once({ id: `${id}:terminated`, event: "terminated", operation: endContext });
    if (state === "error") {
      const why = errorType === undefined ? {} : { errorType, why: viewFailure(errorType, failure).message };
      const due = { id: `${id}:error:${generation}`, event: "error", outcome: "error", ...why } as const;
      return this.#once({ ...due, operation: startContext }) ?? this.#messagesDone(id);
    }
    return this.#messagesDone(id);
  }

  /** Returns a report about the last of the parent's messages, once all are done and nothing else is left to do. */
  #messagesDone(sessionId: string): DueReport | undefined {
    const { sql, jobs, work, answers } = this.#options;
    // At the end of every transaction: all of them are read only once they are reported.
    const [first] = sql.exec("SELECT 1 FROM parent_messages LIMIT 1").toArray();
    if (first === undefined || work.hasWork || work.isBusy) return undefined;
    const ids = sql.exec("SELECT id FROM parent_messages").toArray();
    const rows = ids.flatMap(({ id }) => jobs.job(id as string) ?? []);
    const last = rows.toSorted((a, b) => a.seq - b.seq).at(-1);
    if (last === undefined || last.outcome === null) return undefined;
    const event: ChildSessionEvent = last.outcome === "ok" ? "completed" : "error";
    const { id, outcome, errorType, failure, context } = last;
    const isFailure = errorType !== null && isFailureType(errorType);
    return this.#once({
      id: `${sessionId}:${id}`,
      event,
      outcome,
      operation: context,
      ...withoutUndefined({
        errorType: errorType ?? undefined,
        why: isFailure ? viewFailure(errorType, failure).message : undefined,
        answer: cutAnswer(answers.textTo(last)) || undefined,
      }),
    });
  }

  #once(due: DueReport): DueReport | undefined {
    const known = this.#options.sql.exec("SELECT 1 FROM parent_reported WHERE id = ?", due.id).toArray();
    return known.length === 0 ? due : undefined;
  }

  #add({ operation, ...due }: DueReport, parentSessionId: string, { id, title }: SessionRecord): void {
    const { sql, tracer, costs, boundary } = this.#options;
    const { context } = tracer.start("valet.child_session.report", {
      kind: SpanKind.PRODUCER,
      attributes: { "valet.parent_session.id": parentSessionId, "valet.child_session.event": due.event },
      // The operation has ended, so the report starts a trace of its own.
      links: operation === undefined ? [] : [{ context: operation, attributes: { "valet.link.type": "caused_by" } }],
    });
    const cost = costs.cost();
    const report: ChildReport = {
      ...due,
      childSessionId: id,
      costUsd: cost.usd,
      reportedBy: contextHeaders(context),
      ...withoutUndefined({ isCostPartial: cost.isPartial || undefined, title }),
    };
    sql.exec("INSERT INTO parent_reported VALUES (?)", report.id);
    if (due.event !== "completed") boundary();
    this.#calls.add("", { report, span: context });
  }

  #delivered({ report, span }: Outgoing, isGone: boolean): void {
    const { tracer, boundary } = this.#options;
    tracer.change("valet.child_session.report", span, (open) => {
      endWith(open, isGone ? "skipped" : "ok", isGone ? "parent_session_gone" : undefined);
    });
    if (report.event !== "completed") boundary();
  }
}

/** How a parent refuses that no longer accepts messages. */
const GONE: readonly ApiProblemName[] = ["session-ended", "session-not-found", "session-deleted"];

function isRefused(result: Result<unknown>, name: ApiProblemName): boolean {
  return !result.ok && result.problem.type === `urn:valet:problem:${name}`;
}

function cutAnswer(text: string): string {
  return text.length <= MAX_ANSWER_LENGTH ? text : `${head(text, MAX_ANSWER_LENGTH)} … (cut)`;
}
