/** Writes one wide record for each turn. It answers most questions about the turn without a trace. */
import { whyOf } from "@valet/shared/outcome";
import { knownSum, lacksCost } from "@valet/shared/protocol/cost";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { ErrorType, Outcome } from "@valet/shared/spans";
import { type ChangeColumns, columnsOf, type StoredChanges, unknownChanges } from "../changes/change-columns.ts";
import type { IdRange } from "../core/id-range.ts";
import { isoTime } from "../core/iso-time.ts";
import { originOfSession, type SessionRecord } from "../core/session-state.ts";
import { isTraced } from "../core/session-tracer.ts";
import type { AttemptRow, JobRow } from "../queue/job-store.ts";
import type { AttemptEnd } from "../queue/ports.ts";

/** A summary in which values may be unknown. */
type Measured = Partial<{ readonly [K in keyof Omit<TurnSummary, "tokens">]: TurnSummary[K] | null }> & {
  readonly tokens: { readonly [K in keyof TurnSummary["tokens"]]: number | null };
};

/** The summary of a turn about which the runner reported nothing: the runner was lost, or did not end the turn in time. */
const UNKNOWN: Measured = {
  tokens: { input: null, output: null, cacheRead: null, cacheWrite: null, reasoning: null },
  callsWithoutUsage: null,
  callsWithoutCost: null,
  callsWithOddUsage: null,
};
/** What is told only at the end: before, durations lack the steps that are open, for example the tool in which the runner was lost. */
const UNTOLD = { prepareMs: null, modelMs: null, toolMs: null, permissionWaitMs: null } as const;
/** Columns that records of earlier versions lack. */
const ADDED_LATER: Partial<TurnRecord> = {
  outcome_reason: null,
  error_cause: null,
  prepare_ms: null,
  cpu_ms: null,
  memory_peak_bytes: null,
  disk_written_bytes: null,
  calls_without_usage: null,
  calls_without_cost: null,
  calls_with_odd_usage: null,
  user_id: null,
  repository: null,
  branch: null,
  parent_session_id: null,
  message_trace_id: null,
  aborted_by: null,
  answered_by: null,
  tools: null,
  ...unknownChanges(null),
};

/** How much of a wait passed while the broker created a sandbox, and while a runner started in it. In ms. */
export type SandboxWait = Pick<TurnRecord, "sandbox_ms" | "bootstrap_ms">;

export class TurnRecords {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /**
   * Writes the record of a turn that has ended.
   * @param jobs its jobs, as they were when it ended
   * @param answerers the users who answered the agent's requests in it
   * @param sandboxWait returns how much of a period, given in epoch ms, the start of a sandbox took
   */
  write(
    attempt: AttemptRow,
    jobs: readonly JobRow[],
    { outcome, errorType, summary, isSummarySoFar, failure, stepDurations }: AttemptEnd,
    session: SessionRecord,
    answerers: readonly string[],
    sandboxWait: (fromMs: number, toMs: number) => SandboxWait,
  ): TurnRecord {
    const endedMs = attempt.endedMs ?? this.#now();
    const waits = jobs.map(({ waitingSinceMs }) => waitingSinceMs);
    const wait = { fromMs: Math.min(attempt.dispatchedMs, ...waits), toMs: attempt.dispatchedMs };
    const { tokens, ...measured }: Measured = { ...(summary ?? UNKNOWN), ...(isSummarySoFar === true && UNTOLD) };
    const origin = originOfSession(session);
    const known = (total: number | null | undefined, missing: number | null | undefined) =>
      typeof total === "number" ? knownSum(total, missing ?? 0) : null;
    // What the runner did after it last told something counts as one call that the sums lack: whether there was one, nothing says.
    const untold = isSummarySoFar === true ? 1 : 0;
    const withUntold = (count: number | null | undefined) => (count === null ? null : (count ?? 0) + untold);
    const [callsWithoutUsage, callsWithoutCost] = [measured.callsWithoutUsage, measured.callsWithoutCost].map(
      withUntold,
    );
    const record: TurnRecord = {
      attempt_id: attempt.id,
      session_id: session.id,
      message_ids: [...attempt.jobIds],
      trace_id: attempt.context.traceId,
      channel: attempt.channel,
      generation: attempt.generation,
      attempt: attempt.number,
      model: measured.model ?? null,
      outcome,
      ...reasonColumns(outcome, errorType),
      error_cause: failure?.cause ?? null,
      accepted_at: isoTime(Math.min(attempt.dispatchedMs, ...jobs.map(({ acceptedMs }) => acceptedMs))),
      dispatched_at: isoTime(attempt.dispatchedMs),
      ended_at: isoTime(endedMs),
      queue_wait_ms: attempt.waitMs,
      queue_reasons: [...new Set(jobs.flatMap(({ reasons }) => reasons))],
      ...sandboxWait(wait.fromMs, wait.toMs),
      turn_ms: endedMs - attempt.dispatchedMs,
      time_to_first_token_ms: measured.timeToFirstTokenMs ?? null,
      prepare_ms: measured.prepareMs ?? null,
      model_ms: measured.modelMs ?? null,
      tool_ms: measured.toolMs ?? null,
      permission_wait_ms: measured.permissionWaitMs ?? null,
      model_calls: measured.modelCalls ?? null,
      tool_calls: measured.toolCalls ?? null,
      tool_errors: measured.toolErrors ?? null,
      retries: measured.retries ?? null,
      cpu_ms: measured.usage?.cpuMs ?? null,
      memory_peak_bytes: measured.usage?.memoryPeakBytes ?? null,
      disk_written_bytes: measured.usage?.diskWrittenBytes ?? null,
      tokens_input: known(tokens.input, callsWithoutUsage),
      tokens_output: known(tokens.output, callsWithoutUsage),
      tokens_cache_read: tokens.cacheRead,
      tokens_cache_write: tokens.cacheWrite,
      tokens_reasoning: tokens.reasoning,
      cost_usd: known(measured.costUsd, callsWithoutCost),
      calls_without_usage: callsWithoutUsage ?? null,
      calls_without_cost: callsWithoutCost ?? null,
      calls_with_odd_usage: countOf(measured.callsWithOddUsage),
      user_id: jobs[0]?.userId ?? origin.userId,
      repository: origin.repository ?? null,
      branch: origin.branch ?? null,
      parent_session_id: origin.parentSessionId ?? null,
      message_trace_id: jobs[0] !== undefined && isTraced(jobs[0].context) ? jobs[0].context.traceId : null,
      aborted_by: isCut(outcome) ? (attempt.stop?.by ?? null) : null,
      answered_by: answerers.length === 0 ? null : [...answerers],
      tools: toolsOf(measured.toolCalls, stepDurations),
      ...firstChanges(errorType, session.repoUrl !== undefined),
    };
    const { usd, lacking } = this.#totals();
    const isLacking = lacksCost(record);
    this.#sql.exec(
      "INSERT OR IGNORE INTO turns (attempt_id, record, total_usd, total_lacking) VALUES (?, ?, ?, ?)",
      attempt.id,
      JSON.stringify(record),
      usd + (record.cost_usd ?? 0),
      lacking + Number(isLacking),
    );
    return record;
  }

  /** Returns records in the order in which the turns ended, beginning after `seq`. */
  after(seq: number, limit: number): { readonly seq: number; readonly record: TurnRecord }[] {
    const rows = this.#sql
      .exec(
        `SELECT seq, record, counts FROM turns LEFT JOIN turn_changes USING (attempt_id)
         WHERE seq > ? ORDER BY seq LIMIT ?`,
        seq,
        limit,
      )
      .toArray();
    return rows.map((row) => ({ seq: row.seq as number, record: recordOf(row) }));
  }

  /** Returns the record of an attempt, if it has ended. */
  of(attemptId: string): TurnRecord | undefined {
    const [row] = this.#sql
      .exec(
        "SELECT record, counts FROM turns LEFT JOIN turn_changes USING (attempt_id) WHERE attempt_id = ?",
        attemptId,
      )
      .toArray();
    return row === undefined ? undefined : recordOf(row);
  }

  /** Returns when a turn last ended, epoch ms; `undefined` if none has. */
  lastEndMs(): number | undefined {
    const [row] = this.#sql
      .exec<{ endedAt: string }>(
        "SELECT json_extract(record, '$.ended_at') AS endedAt FROM turns ORDER BY seq DESC LIMIT 1",
      )
      .toArray();
    return row === undefined ? undefined : Date.parse(row.endedAt);
  }

  /** Returns an attempt's place in the order in which turns ended. */
  seqOf(attemptId: string): number | undefined {
    const [row] = this.#sql.exec("SELECT seq FROM turns WHERE attempt_id = ?", attemptId).toArray();
    return row?.seq as number | undefined;
  }

  /** Returns the attempts that have ended and whose ids are in a range, in the order of their ids. */
  idsIn({ from, to }: IdRange, limit: number): string[] {
    const rows = this.#sql.exec<{ id: string }>(
      "SELECT attempt_id AS id FROM turns WHERE attempt_id >= ? AND attempt_id < ? ORDER BY attempt_id LIMIT ?",
      from,
      to,
      limit,
    );
    return rows.toArray().map(({ id }) => id);
  }

  /** Returns the place of the session's first or last turn. */
  edge(edge: "first" | "last"): number | undefined {
    const [row] =
      edge === "first"
        ? this.#sql.exec("SELECT seq FROM turns ORDER BY seq LIMIT 1").toArray()
        : this.#sql.exec("SELECT seq FROM turns ORDER BY seq DESC LIMIT 1").toArray();
    return row?.seq as number | undefined;
  }

  /** Returns the last `limit` records from one place to another, in order. No turn's place is ever free again, so they are counted. */
  between(from: number, to: number, limit: number): TurnRecord[] {
    return this.after(Math.max(from, to - limit + 1) - 1, Math.min(limit, to - from + 1)).map(({ record }) => record);
  }

  /** Returns the records of these attempts, in the order in which they ended. */
  ofAttempts(attemptIds: readonly string[]): TurnRecord[] {
    const rows = this.#sql.exec<{ record: string }>(
      "SELECT record FROM turns WHERE attempt_id IN (SELECT value FROM json_each(?)) ORDER BY seq",
      JSON.stringify(attemptIds),
    );
    return rows.toArray().map(({ record }) => today(JSON.parse(record) as TurnRecord));
  }

  /** Returns the known cost of all turns; `null` if it is 0 and a part is unknown. `isPartial`: some cost is unknown. */
  cost(): { readonly usd: number | null; readonly isPartial: boolean } {
    const { usd, lacking } = this.#totals();
    return { usd: knownSum(usd, lacking), isPartial: lacking > 0 };
  }

  /** Returns the known cost of all turns, and how many turns have unknown cost. The last row has the totals. */
  #totals(): { readonly usd: number; readonly lacking: number } {
    const [last] = this.#sql
      .exec<{ usd: number; lacking: number }>(
        "SELECT total_usd AS usd, total_lacking AS lacking FROM turns ORDER BY seq DESC LIMIT 1",
      )
      .toArray();
    return last ?? { usd: 0, lacking: 0 };
  }
}

function recordOf({ record, counts }: Record<string, SqlStorageValue>): TurnRecord {
  const upToDate = today(JSON.parse(record as string) as TurnRecord);
  // Without a report nothing is known. Earlier versions stored zeros for turns that used no tools.
  const changes =
    typeof counts === "string"
      ? columnsOf(JSON.parse(counts) as StoredChanges)
      : unknownChanges(upToDate.changes_unknown ?? null);
  return { ...upToDate, ...changes };
}

/** Returns the names of the tools that a turn used; `null` if they are unknown. @param toolCalls how many calls, if that is known */
function toolsOf(
  toolCalls: number | null | undefined,
  stepDurations: AttemptEnd["stepDurations"] = [],
): string[] | null {
  const tools = new Set(stepDurations.flatMap(({ kind, name }) => (kind === "tool" ? [name] : [])));
  return tools.size > 0 || toolCalls === 0 ? [...tools].sort() : null;
}

/** Returns what is known about a turn's changes when it ends: nothing, whatever it did. The runner says the rest afterwards. */
function firstChanges(errorType: ErrorType | null | undefined, hasRepository: boolean): ChangeColumns {
  return unknownChanges(hasRepository && errorType === "runner_lost" ? "sandbox_lost" : null);
}

/** Returns a record in today's form: earlier versions lack columns, and stored the reason of every outcome in `error_type`. */
function today(record: TurnRecord): TurnRecord {
  const { outcome, error_type, outcome_reason = null } = record;
  return { ...ADDED_LATER, ...record, ...(outcome_reason === null && reasonColumns(outcome, error_type)) };
}

function reasonColumns(outcome: Outcome, reason: ErrorType | null | undefined) {
  const { errorType, outcomeReason } = whyOf(outcome, reason);
  return { error_type: errorType ?? null, outcome_reason: outcomeReason ?? null };
}

/** Whether a turn with this outcome may have been ended by a person. */
const isCut = (outcome: Outcome) => outcome === "aborted" || outcome === "superseded";

/** Returns a count that the runner omits if it is 0; `null` if it is unknown. */
const countOf = (count: number | null | undefined) => (count === null ? null : (count ?? 0));
