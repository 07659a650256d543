/** A file's diff in short pieces, of which only those near the window are drawn. Pure. */

import type { PatchFile, PatchLine } from "@valet/shared/patch";
import { cutEnd } from "@valet/shared/text";
import { visibleText } from "@valet/shared/visible-text";
import type { ChangeData, HunkData } from "react-diff-view";
import { isLink } from "./mode-words.ts";

/** Lines of one piece. */
const CHUNK_LINES = 50;
/** The most characters of a line; a browser takes long to lay out more. */
const MAX_LINE = 1_000;

interface DiffChunk {
  readonly id: string;
  /** The head of the hunk that begins here. */
  readonly head: string | undefined;
  readonly hunk: HunkData;
}

/** Returns the pieces of a file's diff, in order. */
export function diffChunks({ hunks, modes }: PatchFile): DiffChunk[] {
  // Where a link leads never ends with a newline.
  const tellsEnd = !isLink(modes);
  return hunks.flatMap(({ head, lines, oldStart, newStart }, index) => {
    const chunks: DiffChunk[] = [];
    for (let at = 0; at < lines.length; at += CHUNK_LINES) {
      const changes = lines.slice(at, at + CHUNK_LINES).map((line) => changeOf(line, tellsEnd));
      const hunk = { content: head, oldStart, newStart, oldLines: 0, newLines: 0, changes };
      chunks.push({ id: `${index}/${at}`, head: at === 0 ? visibleText(cutEnd(head, 200)) : undefined, hunk });
    }
    return chunks;
  });
}

function changeOf(
  { type, content: raw, oldLine = 0, newLine = 0, isUnended = false }: PatchLine,
  tellsEnd: boolean,
): ChangeData {
  const content = isUnended && tellsEnd ? `${shownLine(raw)} (no newline at the end of the file)` : shownLine(raw);
  if (type === "insert") return { type, content, lineNumber: newLine, isInsert: true };
  if (type === "delete") return { type, content, lineNumber: oldLine, isDelete: true };
  return { type, content, oldLineNumber: oldLine, newLineNumber: newLine, isNormal: true };
}

/** What has no width hides in code as well as what changes its direction. */
const WITHOUT_WIDTH = /[\u200b-\u200d\u2060\ufeff]/g;

/** Returns a line as it is shown: cut, and with pictures of the characters that would hide something. */
export function shownLine(line: string): string {
  const ended = line.endsWith("\r") ? `${line.slice(0, -1)}␍` : line;
  const cut = ended.length > MAX_LINE ? `${cutEnd(ended, MAX_LINE)} (${ended.length} characters)` : ended;
  return visibleText(cut).replace(WITHOUT_WIDTH, "\ufffd");
}
