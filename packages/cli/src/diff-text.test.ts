import type { DiffView, TurnChangesView } from "@valet/shared/protocol/changes";
import { expect, test } from "vitest";
import { colouredPatch, missingLines, statLines } from "./diff-text.ts";

const TURN: TurnChangesView = {
  turn_id: "att_1",
  message_ids: ["msg_1"],
  ended_at: "2026-01-01T00:00:00.000Z",
  unknown: null,
  shared_with: ["msg_2"],
  commits: 1,
  commit_list: [{ id: "a".repeat(40), subject: "a subject" }],
  files_changed: 3,
  lines_added: 2,
  lines_removed: 1,
  head_branch: "main",
  head_revision: "b".repeat(40),
  files: [
    { path: "a.txt", previous_path: null, kind: "modified", lines_added: 2, lines_removed: 1 },
    { path: "line\nbreak", previous_path: "old", kind: "renamed", lines_added: null, lines_removed: null },
  ],
  patch: "whole",
};
const UNKNOWN: TurnChangesView = {
  ...TURN,
  message_ids: ["msg_3"],
  unknown: "timeout",
  shared_with: [],
  commits: null,
  commit_list: [],
  files_changed: null,
  lines_added: null,
  lines_removed: null,
  head_branch: null,
  head_revision: null,
  files: [],
  patch: "none",
};
const diffOf = (...turns: TurnChangesView[]): DiffView => ({
  session_id: "ses_1",
  omitted_turns: 0,
  turns,
  commits: 1,
  files_changed: 3,
  lines_added: 2,
  lines_removed: 1,
  unknown_turns: turns.filter(({ unknown }) => unknown !== null).length,
  files: [],
  patch: "",
});

test("a turn has its commits, its files and what it shares", () => {
  expect(statLines(diffOf(TURN))).toEqual([
    "msg_1: 1 commit, 3 files, +2 -1 lines (main bbbbbbbbbbbb)",
    "  shared with msg_2, which ran at the same time, or since the last known state",
    "  commit aaaaaaaaaaaa a subject",
    "  M a.txt                 +2 -1 ++-",
    '  R old => "line\\nbreak"  (only its name is known)',
    "  and 1 more file",
  ]);
});

test("a long name does not widen the lines of the other files", () => {
  const [file] = TURN.files;
  if (file === undefined) throw new Error("no file");
  const lines = statLines(diffOf({ ...TURN, files: [file, { ...file, path: "long".repeat(100) }] }));
  expect(lines).toContain(`  M ${"a.txt".padEnd(60)}  +2 -1 ++-`);
  expect(lines).toContain(`  M ${"long".repeat(100)}  +2 -1 ++-`);
});

test("several turns have a sum, which says what it lacks", () => {
  const lines = statLines(diffOf(TURN, UNKNOWN));
  expect(lines).toContain("msg_3: unknown: git did not finish within 2 seconds after the turn");
  expect(lines.at(-1)).toBe("2 turns: 1 commit, 3 files, +2 -1 lines, and 1 turn of which it is unknown");
  expect(statLines(diffOf())).toEqual(["No turn has ended yet."]);
});

test("what a patch lacks is said in lines that git apply ignores", () => {
  expect(missingLines(TURN)).toEqual([]);
  expect(missingLines(UNKNOWN)).toEqual(["# msg_3: unknown: git did not finish within 2 seconds after the turn"]);
  for (const patch of ["cut", "dropped", "omitted"] as const) {
    expect(missingLines({ ...TURN, patch })[0]).toMatch(/^# msg_1: the patch /);
  }
});

test("colours stand around whole lines and change no text", () => {
  const patch = "diff --git a/a b/a\n@@ -1 +1 @@\n-a\n+b\n c\n";
  const coloured = colouredPatch(patch);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours
  expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe(patch);
  expect(coloured).toContain("\u001b[31m-a\u001b[0m\n\u001b[32m+b\u001b[0m\n c\n");
});
