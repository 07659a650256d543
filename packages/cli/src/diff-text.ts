/** The text of `valet diff`. Pure. */
import { pathText } from "@valet/shared/path-text";
import type { DiffView, FileChange, TurnChangesView } from "@valet/shared/protocol/changes";
import { CHANGES_UNKNOWN_MEANINGS } from "@valet/shared/spans/meanings";
import { counted } from "./counted.ts";

/** The widest bar of lines in `--stat`. */
const MAX_BAR = 40;
/** The widest column of names in `--stat`; a longer name moves only what stands behind it. */
const MAX_NAME = 60;
const KIND_MARKS: Record<FileChange["kind"], string> = { added: "A", modified: "M", deleted: "D", renamed: "R" };

/** Returns the lines of `valet diff --stat`: each turn, then its files. */
export function statLines(diff: DiffView): string[] {
  const { turns, omitted_turns } = diff;
  if (turns.length === 0) return ["No turn has ended yet."];
  const lines = turns.flatMap((turn) => [...turnLines(turn), ""]);
  if (omitted_turns > 0)
    lines.unshift(`${counted(omitted_turns, "earlier turn")} left out: at most ${turns.length} are shown.`, "");
  if (turns.length === 1) return lines.slice(0, -1);
  const unknown = diff.unknown_turns > 0 ? `, and ${counted(diff.unknown_turns, "turn")} of which it is unknown` : "";
  return [...lines, `${counted(turns.length, "turn")}: ${totalText(diff)}${unknown}`];
}

/** Returns the lines that come before a patch, as comments that `git apply` ignores: what the patch lacks. */
export function missingLines(turn: TurnChangesView): string[] {
  const why = patchNote(turn);
  return why === undefined ? [] : [`# ${turn.message_ids.join(", ")}: ${why}`];
}

function turnLines(turn: TurnChangesView): string[] {
  const { message_ids, unknown, shared_with, head_branch, head_revision, commit_list, files } = turn;
  const head = [head_branch ?? "", head_revision?.slice(0, 12) ?? ""].filter((each) => each !== "").join(" ");
  const title = `${message_ids.join(", ")}: ${unknown === null ? totalText(turn) : `unknown: ${CHANGES_UNKNOWN_MEANINGS[unknown]}`}`;
  const width = Math.min(MAX_NAME, Math.max(0, ...files.map((file) => nameOf(file).length)));
  const most = Math.max(1, ...files.map(({ lines_added, lines_removed }) => (lines_added ?? 0) + (lines_removed ?? 0)));
  const unlisted = (turn.files_changed ?? files.length) - files.length;
  const note = patchNote(turn);
  return [
    head === "" ? title : `${title} (${head})`,
    ...(shared_with.length > 0
      ? [`  shared with ${shared_with.join(", ")}, which ran at the same time, or since the last known state`]
      : []),
    ...commit_list.map(({ id, subject }) => `  commit ${id.slice(0, 12)} ${subject}`),
    ...files.map((file) => `  ${KIND_MARKS[file.kind]} ${nameOf(file).padEnd(width)}  ${linesText(file, most)}`),
    ...(unlisted > 0 ? [`  and ${counted(unlisted, "more file")}`] : []),
    ...(note !== undefined && unknown === null ? [`  ${note}`] : []),
  ];
}

function patchNote({ patch, unknown }: TurnChangesView): string | undefined {
  switch (patch) {
    case "none":
      return unknown === null ? undefined : `unknown: ${CHANGES_UNKNOWN_MEANINGS[unknown]}`;
    case "cut":
      return "the patch has only the first files: the turn changed more than is kept";
    case "dropped":
      return "the patch is not kept any more: the session's newer patches took its place";
    case "omitted":
      return "the patch is left out, since the answer is full: ask for fewer turns";
    default:
      return undefined;
  }
}

function totalText({
  commits,
  files_changed,
  lines_added,
  lines_removed,
}: Pick<DiffView, "commits" | "files_changed" | "lines_added" | "lines_removed">): string {
  const known = [
    commits === null ? undefined : counted(commits, "commit"),
    files_changed === null ? undefined : counted(files_changed, "file"),
    lines_added === null || lines_removed === null ? undefined : `+${lines_added} -${lines_removed} lines`,
  ].filter((each) => each !== undefined);
  return known.length === 0 ? "unknown" : known.join(", ");
}

function nameOf({ path, previous_path }: FileChange): string {
  return previous_path === null ? pathText(path) : `${pathText(previous_path)} => ${pathText(path)}`;
}

function linesText({ lines_added: added, lines_removed: removed }: FileChange, most: number): string {
  if (added === null || removed === null) return "(only its name is known)";
  const scale = Math.min(1, MAX_BAR / most);
  const bar = (mark: string, lines: number) => mark.repeat(lines === 0 ? 0 : Math.max(1, Math.round(lines * scale)));
  return `+${added} -${removed} ${bar("+", added)}${bar("-", removed)}`.trimEnd();
}

/** Returns a patch with the colours of `git diff`. */
export function colouredPatch(patch: string): string {
  return patch
    .split("\n")
    .map((line) => {
      const colour = /^(?:diff |index |--- |\+\+\+ |new file|deleted file|rename |similarity |old mode|new mode)/.test(
        line,
      )
        ? BOLD
        : line.startsWith("@@")
          ? CYAN
          : line.startsWith("+")
            ? GREEN
            : line.startsWith("-")
              ? RED
              : undefined;
      return colour === undefined || line === "" ? line : `${colour}${line}${RESET}`;
    })
    .join("\n");
}

const [BOLD, RED, GREEN, CYAN, RESET] = ["1", "31", "32", "36", "0"].map((code) => `\u001b[${code}m`) as [
  string,
  string,
  string,
  string,
  string,
];
