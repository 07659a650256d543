/** The likely height of a row until it is measured, px. Pure. */
import type { Row } from "./rows.ts";

const LINE_PX = 22;
/** Characters of the conversation's width. */
const PER_LINE = 72;

export function rowHeight(row: Row | undefined): number {
  if (row === undefined) return 30;
  switch (row.kind) {
    case "said":
      return textHeight(row.message.content);
    case "part":
      return row.part.type === "text" ? textHeight(row.part.text) : 24;
    case "permission":
    case "question":
      return 220;
    case "rest":
      return 24;
    case "end":
      return 40;
    default:
      return 30;
  }
}

function textHeight(text: string): number {
  const lines = text.split("\n", 400).reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / PER_LINE)), 0);
  return lines * LINE_PX + 12;
}
