/** Answers what turns changed, from what is stored: it needs no sandbox. */
import {
  CHANGES_LIMITS,
  type ChangesUnknown,
  type DiffQuery,
  type TurnChangesView,
} from "@valet/shared/protocol/changes";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import type { DiffAnswer } from "../contract.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import type { JobStore } from "../queue/job-store.ts";
import type { TurnChanges } from "./turn-changes.ts";

export interface DiffOptions {
  readonly jobs: JobStore;
  readonly changes: Pick<TurnChanges, "of" | "detailsOf" | "patchOf">;
  /** The records of turns; the room `conversation` implements it. `seq` is their order. */
  readonly records: {
    seqOf(attemptId: string): number | undefined;
    edge(edge: "first" | "last"): number | undefined;
    between(from: number, to: number, limit: number): readonly TurnRecord[];
  };
  readonly session: () => { readonly id: string; readonly generation: number; readonly hasRepository: boolean };
}

export class Diff {
  readonly #options: DiffOptions;

  constructor(options: DiffOptions) {
    this.#options = options;
  }

  read({ from, to, patch }: DiffQuery): Result<DiffAnswer> {
    const { records, session } = this.#options;
    const { id: sessionId } = session();
    const lastSeq = records.edge("last");
    if (from === undefined && to === undefined && lastSeq === undefined) {
      return ok({ sessionId, omittedTurns: 0, turns: [] });
    }
    const toSeq = to === undefined ? lastSeq : this.#place(to);
    const fromSeq = from === undefined ? toSeq : from === "first" ? records.edge("first") : this.#place(from);
    if (fromSeq === undefined || toSeq === undefined) {
      return refuse(
        "turn-not-found",
        "No turn has this id, and no message with this id has had a turn that ended. A turn that is running is not known yet.",
      );
    }
    if (fromSeq > toSeq) return refuse("invalid-input", "The turn `from` is later than `to`.");
    const { answerTurns } = CHANGES_LIMITS;
    const turns = records.between(fromSeq, toSeq, answerTurns).map((record) => this.#turn(record, patch !== "none"));
    return ok({ sessionId, omittedTurns: Math.max(0, toSeq - fromSeq + 1 - turns.length), turns });
  }

  /** @param id of a turn, or of a message or workflow, whose last turn it stands for */
  #place(id: string): number | undefined {
    const { jobs, records } = this.#options;
    return records.seqOf(id) ?? records.seqOf(jobs.job(id)?.attemptId ?? "");
  }

  #turn(record: TurnRecord, isPatchWanted: boolean): DiffAnswer["turns"][number] {
    const { changes } = this.#options;
    const stored = changes.of(record.attempt_id);
    const details = stored?.has_details ? changes.detailsOf(record.attempt_id) : undefined;
    const isKnown = record.files_changed !== null;
    const isDropped = stored?.has_details === true && details === undefined;
    const shown = !details?.hasPatch ? "empty" : stored?.is_patch_whole ? "whole" : "cut";
    const view: TurnChangesView = {
      turn_id: record.attempt_id,
      message_ids: record.message_ids,
      ended_at: record.ended_at,
      unknown: isKnown ? null : (record.changes_unknown ?? this.#unreported(record)),
      shared_with: [...(stored?.shared_with ?? [])],
      commits: record.commits,
      commit_list: [...(details?.commit_list ?? [])],
      files_changed: record.files_changed,
      lines_added: record.lines_added,
      lines_removed: record.lines_removed,
      head_branch: record.head_branch,
      head_revision: record.head_revision,
      files: [...(details?.files ?? [])],
      patch: !isKnown ? "none" : isDropped ? "dropped" : shown,
    };
    return { view, patch: isPatchWanted && details?.hasPatch ? changes.patchOf(record.attempt_id) : undefined };
  }

  /** Returns why nothing is known of a turn about which no runner has said anything. */
  #unreported({ generation, error_type }: TurnRecord): ChangesUnknown {
    const session = this.#options.session();
    if (!session.hasRepository) return "not_a_repository";
    return generation !== session.generation || error_type === "runner_lost" ? "sandbox_lost" : "not_reported";
  }
}
