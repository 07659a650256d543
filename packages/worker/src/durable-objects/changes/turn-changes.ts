/**
 * Stores what the runner says about the changes of turns: the counts for as long as the session lives, the lists and the patch until
 * the session's limit is reached. The oldest go first.
 */
import {
  CHANGES_LIMITS,
  type ChangesUnknown,
  ChangesUnknown as ChangesUnknownSchema,
  type CommitView,
  type FileChange,
} from "@valet/shared/protocol/changes";
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import type { SpanFrame, SpansAck } from "@valet/shared/protocol/span-frame";
import type { Transactions } from "../core/transactions.ts";
import type { JobStore } from "../queue/job-store.ts";
import { type StoredChanges, unknownChanges } from "./change-columns.ts";

/** What an attempt changed is known now, or why it is not. */
export interface ChangesEvent {
  readonly type: "changes-reported";
  readonly attemptId: string;
}

/** The part of the changes that is not kept for ever. */
export interface ChangeDetails {
  readonly files: readonly FileChange[];
  readonly commit_list: readonly CommitView[];
  /** Whether there is a patch. */
  readonly hasPatch: boolean;
}

export interface TurnChangesOptions {
  readonly sql: SqlStorage;
  readonly jobs: JobStore;
  readonly transactions: Transactions;
  /** Stores the span frame that the frame carries. */
  readonly runnerSpans: { take(carried: SpanFrame): SpansAck | undefined };
  readonly link: { send(frame: ToRunner): boolean };
  readonly record: (event: ChangesEvent) => void;
  readonly sessionPatchBytes?: number;
}

export class TurnChanges {
  readonly #options: TurnChangesOptions;

  constructor(options: TurnChangesOptions) {
    this.#options = options;
  }

  /** Stores a report of the runner. The first one about an attempt counts. */
  onFrame(frame: FromRunnerOf<"turn-changes">): void {
    const { jobs, runnerSpans, transactions, link, record } = this.#options;
    const { attemptId } = frame;
    const attempt = jobs.attempt(attemptId);
    const spans = frame.spans && runnerSpans.take(frame.spans);
    if (attempt !== undefined && attempt.state !== "ended") {
      // It follows the end, which is on its way. The runner sends it again, and its spans by themselves.
      if (spans !== undefined) transactions.afterCommit(() => link.send({ type: "spans-ack", ...spans }));
      return;
    }
    if (attempt !== undefined && this.#add(frame)) record({ type: "changes-reported", attemptId });
    transactions.afterCommit(() =>
      link.send({ type: "turn-changes-ack", attemptId, ...(spans !== undefined && { spans }) }),
    );
  }

  /** Returns what is stored of an attempt's changes. */
  of(attemptId: string): StoredChanges | undefined {
    const [row] = this.#options.sql.exec("SELECT counts FROM turn_changes WHERE attempt_id = ?", attemptId).toArray();
    return row === undefined ? undefined : (JSON.parse(row.counts as string) as StoredChanges);
  }

  /** Returns an attempt's lists, unless they were dropped, or there never were any. Reads no patch. */
  detailsOf(attemptId: string): ChangeDetails | undefined {
    const [row] = this.#options.sql
      .exec("SELECT lists, patch IS NOT NULL AS has_patch FROM turn_patches WHERE attempt_id = ?", attemptId)
      .toArray();
    if (row === undefined) return undefined;
    const lists = JSON.parse(row.lists as string) as Pick<ChangeDetails, "files" | "commit_list">;
    return { ...lists, hasPatch: row.has_patch === 1 };
  }

  /** Returns an attempt's patch, gzip'd; `undefined` if it was dropped, is empty, or never was. */
  patchOf(attemptId: string): Uint8Array | undefined {
    const [row] = this.#options.sql.exec("SELECT patch FROM turn_patches WHERE attempt_id = ?", attemptId).toArray();
    return row === undefined || row.patch === null ? undefined : new Uint8Array(row.patch as ArrayBuffer);
  }

  /** @returns whether it is the first report about the attempt */
  #add({ attemptId, facts, unknown, sharedWith, patch }: FromRunnerOf<"turn-changes">): boolean {
    const { sql, jobs } = this.#options;
    const { files = [], commit_list = [], is_patch_whole = true, ...counts } = facts ?? {};
    const hasDetails = files.length > 0 || commit_list.length > 0 || patch !== undefined;
    const stored: StoredChanges = {
      ...(facts === undefined ? unknownChanges(reasonOf(unknown)) : { ...unknownChanges(null), ...counts }),
      is_patch_whole,
      has_details: hasDetails,
      shared_with: [...new Set(sharedWith.flatMap((id) => jobs.attempt(id)?.jobIds ?? []))],
    };
    const { rowsWritten } = sql.exec(
      "INSERT OR IGNORE INTO turn_changes (attempt_id, counts) VALUES (?, ?)",
      attemptId,
      JSON.stringify(stored),
    );
    if (rowsWritten === 0) return false;
    if (hasDetails) this.#addDetails(attemptId, JSON.stringify({ files, commit_list }), patch);
    return true;
  }

  #addDetails(attemptId: string, lists: string, patch: string | undefined): void {
    const { sql, sessionPatchBytes = CHANGES_LIMITS.sessionPatchBytes } = this.#options;
    const gzip = patch === undefined ? null : new Uint8Array(Buffer.from(patch, "base64"));
    const bytes = Buffer.byteLength(lists) + (gzip?.length ?? 0);
    // Each row has the total up to itself, so the sizes of all rows need not be read.
    const [last] = sql.exec("SELECT total FROM turn_patches ORDER BY seq DESC LIMIT 1").toArray();
    const total = ((last?.total as number | undefined) ?? 0) + bytes;
    sql.exec(
      "INSERT INTO turn_patches (attempt_id, bytes, total, lists, patch) VALUES (?, ?, ?, ?, ?)",
      attemptId,
      bytes,
      total,
      lists,
      gzip?.buffer ?? null,
    );
    for (;;) {
      const [oldest] = sql
        .exec("SELECT seq, attempt_id, total - bytes AS before FROM turn_patches ORDER BY seq LIMIT 1")
        .toArray();
      if (oldest === undefined || oldest.attempt_id === attemptId) return;
      if (total - (oldest.before as number) <= sessionPatchBytes) return;
      sql.exec("DELETE FROM turn_patches WHERE seq = ?", oldest.seq as number);
    }
  }
}

function reasonOf(name: string | undefined): ChangesUnknown {
  return ChangesUnknownSchema.safeParse(name).data ?? "not_reported";
}
