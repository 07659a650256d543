/**
 * Text that somebody else wrote: an agent, a tool, a repository, a person. It is text and nothing else, its direction cannot change
 * that of the page or hide what it says (`gnp.exe` that looks like `exe.png`), and it is cut to a length that a browser can lay out.
 */
import { cutEnd } from "@valet/shared/text";
import { visibleText } from "@valet/shared/visible-text";
import type { CSSProperties } from "react";
import { codeParts } from "../format/code-parts.ts";

/** The most characters of a title, a name or a line; what is longer shows in panels made for it. */
const MAX_LINE = 2_000;

interface OutsideTextProps {
  readonly text: string;
  readonly className?: string;
  readonly style?: CSSProperties;
  /** The most characters shown. */
  readonly max?: number;
}

export function OutsideText({ text, className, style, max = MAX_LINE }: OutsideTextProps) {
  return (
    <bdi className={className} style={style}>
      {visibleText(cutEnd(text, max))}
    </bdi>
  );
}

/** A sentence of the API, in which names stand between backticks. */
export function Sentence({ text, className = "", max = MAX_LINE }: OutsideTextProps) {
  return (
    <bdi className={`[overflow-wrap:anywhere] ${className}`}>
      {codeParts(visibleText(cutEnd(text, max))).map(({ text: part, isCode, at }) =>
        isCode ? <code key={at}>{part}</code> : <span key={at}>{part}</span>,
      )}
    </bdi>
  );
}
