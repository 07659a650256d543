/**
 * What a turn changed in its workspace: the runner measures it after the turn, the session stores it, the API and `valet diff` show
 * it. A turn here is an attempt of a message or of a workflow; its id is the `attempt_id` of its record.
 */
import { z } from "zod";
import { CHANGES_UNKNOWN } from "../spans.ts";
import { SpanFrame } from "./span-frame.ts";
import { id, millis } from "./wire-fields.ts";

const MIB = 1024 * 1024;

/** The limits of what is measured, sent and stored. Sizes in bytes, times in ms. */
export const CHANGES_LIMITS = {
  /** From the end of the turn until its changes count as unknown (`timeout`). The channel's next turn waits no longer than that. */
  takeMs: 2_000,
  /** Of larger files only the names are known. */
  fileBytes: MIB,
  /** New or modified files of one turn, and their size together; with more the changes are unknown (`too_large`). */
  candidates: 20_000,
  candidateBytes: 256 * MIB,
  /** How many files and commits are listed, and the size of both lists as JSON. The counts include the others. */
  files: 1_000,
  commits: 100,
  /** How many files of a commit are named, if the lists have room for them. */
  commitFiles: 100,
  listBytes: 96 * 1024,
  /** The patch of a turn, as text and compressed. It ends before the first file that does not fit. */
  patchTextBytes: MIB,
  patchBytes: 224 * 1024,
  /** All patches of a session, compressed. The oldest go first. */
  sessionPatchBytes: 16 * MIB,
  /** The turns of one answer, and the text of their patches together. */
  answerTurns: 200,
  answerTextBytes: 8 * MIB,
} as const;

const count = z.int().nonnegative();

/** Why what a turn changed is not known. */
export const ChangesUnknown = z.enum(CHANGES_UNKNOWN);
export type ChangesUnknown = z.infer<typeof ChangesUnknown>;

export const FILE_CHANGE_KINDS = ["added", "modified", "deleted", "renamed"] as const;

/** One changed file. Names that are not UTF-8 have replacement characters. */
export const FileChange = z.object({
  path: z.string().max(4096),
  /** Set with the kind `renamed`. */
  previous_path: z.string().max(4096).nullable(),
  kind: z.enum(FILE_CHANGE_KINDS),
  /** `null` if only the name is known: the file is binary, larger than 1 MiB, a repository of its own, or changed its type. */
  lines_added: count.nullable(),
  lines_removed: count.nullable(),
});
export type FileChange = z.infer<typeof FileChange>;

export const CommitView = z.object({
  id: z.string().max(64),
  subject: z.string().max(300),
  /** The paths of the files that it changed, renamed ones by both names. Absent for a merge, and if they were not recorded. */
  files: z.array(z.string().max(4096)).max(CHANGES_LIMITS.commitFiles).optional(),
  /** How many those are, together with those that are not named. */
  files_changed: count.optional(),
});
export type CommitView = z.infer<typeof CommitView>;

/** What the runner measured between the start and the end of a turn. */
export const ChangeFacts = z.object({
  /** Commits that HEAD reaches now and did not reach before; `null` if the commit before is gone. */
  commits: count.nullable(),
  /** The newest of them, newest first. */
  commit_list: z.array(CommitView).max(CHANGES_LIMITS.commits),
  files_changed: count,
  /** Sums over the files whose lines are known. */
  lines_added: count,
  lines_removed: count,
  /** The branch after the turn; `null` if HEAD is detached. */
  head_branch: z.string().max(255).nullable(),
  /** The commit after the turn; `null` if there is none yet. */
  head_revision: z.string().max(64).nullable(),
  files: z.array(FileChange).max(CHANGES_LIMITS.files),
  /** Whether the patch has all files whose lines are known. */
  is_patch_whole: z.boolean(),
});
export type ChangeFacts = z.infer<typeof ChangeFacts>;

/** The fields of the frame `turn-changes`, which follows the end of an attempt. */
export const turnChangesFields = {
  attemptId: id,
  /** Absent if they are unknown. */
  facts: ChangeFacts.optional(),
  /** Why they are unknown; a name that this version does not know becomes `not_reported`. */
  unknown: z.string().max(64).optional(),
  /** Attempts whose work may be in these changes, too, because they ran at the same time, or since the last known state. */
  sharedWith: z.array(id).max(100),
  tookMs: millis,
  /** The patch: gzip, in base64. Absent if it is empty. */
  patch: z
    .string()
    .max(Math.ceil(CHANGES_LIMITS.patchBytes / 3) * 4)
    .optional(),
  spans: SpanFrame.optional(),
};

/**
 * `whole`: all files whose lines are known; `cut`: the first ones, up to the limit of a turn; `empty`: the turn changed no such file;
 * `dropped`: the session's patches exceeded their limit; `omitted`: this answer is full, ask for fewer turns; `none`: the changes are
 * unknown.
 */
export const PATCH_STATES = ["whole", "cut", "empty", "dropped", "omitted", "none"] as const;
export type PatchState = (typeof PATCH_STATES)[number];

/** One turn of a diff. */
export const TurnChangesView = z.object({
  turn_id: z.string(),
  message_ids: z.array(z.string()),
  ended_at: z.iso.datetime(),
  /** Why what it changed is unknown; `null` if it is known. */
  unknown: ChangesUnknown.nullable(),
  /** Messages and workflows whose work may be in these changes, too. */
  shared_with: z.array(z.string()),
  commits: count.nullable(),
  commit_list: z.array(CommitView),
  files_changed: count.nullable(),
  lines_added: count.nullable(),
  lines_removed: count.nullable(),
  head_branch: z.string().nullable(),
  head_revision: z.string().nullable(),
  files: z.array(FileChange),
  patch: z.enum(PATCH_STATES),
});
export type TurnChangesView = z.infer<typeof TurnChangesView>;

/** What one turn changed, or several in order. */
export const DiffView = z.object({
  session_id: z.string(),
  /** Turns at the beginning of the range that the answer leaves out, since it has at most 200. */
  omitted_turns: count,
  turns: z.array(TurnChangesView),
  /** Over all turns whose changes are known; `null` if none is. A file that several turns changed is one. */
  commits: count.nullable(),
  files_changed: count.nullable(),
  lines_added: count.nullable(),
  lines_removed: count.nullable(),
  /** The turns whose changes are unknown: the sums lack theirs. */
  unknown_turns: count,
  files: z.array(FileChange),
  /** The patches of the turns, in order: `git apply` takes them as a series. */
  patch: z.string(),
});
export type DiffView = z.infer<typeof DiffView>;

/** @param id of a message, a workflow, or a turn */
const place = z.string().min(1).max(128);

export const DiffQuery = z.strictObject({
  from: place
    .optional()
    .describe("The first turn: its id, that of its message, or `first`. By default the same as `to`"),
  to: place.optional().describe("The last turn: its id, or that of its message. By default the session's last turn"),
  patch: z
    .literal("none")
    .optional()
    .describe("Leaves the patches out and reads none: `patch` is empty. Each turn still says whether it has one"),
  file: z.string().min(1).max(4096).optional().describe("Of the patches only the part of the file with this path"),
});
export type DiffQuery = z.infer<typeof DiffQuery>;
