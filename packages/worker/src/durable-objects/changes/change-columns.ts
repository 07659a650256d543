/** What is stored of a turn's changes for as long as the session lives, and the columns of its record that come from it. Pure. */
import type { ChangesUnknown } from "@valet/shared/protocol/changes";
import type { TurnRecord } from "@valet/shared/protocol/session-view";

/** The columns of a turn's record about its changes. */
export type ChangeColumns = Pick<
  TurnRecord,
  "commits" | "files_changed" | "lines_added" | "lines_removed" | "head_branch" | "head_revision" | "changes_unknown"
>;

/** The stored form of `turn_changes.counts`. */
export interface StoredChanges extends ChangeColumns {
  /** Messages and workflows whose work may be in these changes, too. */
  readonly shared_with: readonly string[];
  readonly is_patch_whole: boolean;
  /** Whether there were lists or a patch to keep. */
  readonly has_details: boolean;
}

const UNKNOWN: ChangeColumns = {
  commits: null,
  files_changed: null,
  lines_added: null,
  lines_removed: null,
  head_branch: null,
  head_revision: null,
  changes_unknown: null,
};

/** Returns the columns where the changes are unknown; `null` if no runner has said why, or none has said anything yet. */
export function unknownChanges(why: ChangesUnknown | null): ChangeColumns {
  return { ...UNKNOWN, changes_unknown: why };
}

/** Returns the columns of what was stored. */
export function columnsOf(stored: StoredChanges): ChangeColumns {
  const { commits, files_changed, lines_added, lines_removed, head_branch, head_revision, changes_unknown } = stored;
  return { commits, files_changed, lines_added, lines_removed, head_branch, head_revision, changes_unknown };
}
