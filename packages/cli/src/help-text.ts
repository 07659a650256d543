/** Help texts: the end of each command's, with what its exit codes mean and examples; and how it fits a terminal. Pure. */
import { wrap, wrapIndented } from "./wrap.ts";

/** @param negative what exit code 1 means; a command without it never ends so */
export function helpEnd(negative: string | undefined, ...examples: readonly string[]): string {
  const failed = negative === undefined ? "" : ` 1 ${negative};`;
  const lines = examples.map((each) => `\n  valet ${each}`);
  return `
Exit codes: 0 success;${failed} 2 usage or environment error.

${examples.length === 1 ? "Example" : "Examples"}:${lines.join("")}`;
}

/** The session of the examples. */
export const EXAMPLE_SESSION = "ses_01j8z3k5m7n9p1q3r5s7t9v1w3";

/** A line of a paragraph that is at least this long, in columns, was wrapped in the source: the next line continues it. */
const SOURCE_WRAP_COLUMNS = 100;

/** Returns a help whose lines fit a terminal of so many columns. Paragraphs, which have lines in the sources, too, get lines of that width. */
export function fitHelp(text: string, columns: number): string {
  const lines: string[] = [];
  let isContinued = false;
  for (const line of text.split("\n")) {
    const isParagraph = line !== "" && !line.startsWith(" ");
    if (isContinued && isParagraph) lines.push(`${lines.pop()} ${line}`);
    else lines.push(line);
    isContinued = isParagraph && line.length >= SOURCE_WRAP_COLUMNS;
  }
  return lines.flatMap((line) => fitLine(line, columns)).join("\n");
}

/** An example, with what it does. */
const EXAMPLE = /^( +valet .*?)(?: {3,}(.*))?$/;

function fitLine(line: string, columns: number): string[] {
  if (line.length <= columns) return [line];
  if (!line.startsWith(" ")) return wrap(line, columns);
  const [, command, does = ""] = EXAMPLE.exec(line) ?? [];
  // A command stays whole, so that it can be copied.
  return command === undefined
    ? wrapIndented(line, columns)
    : [command, ...(does === "" ? [] : wrapIndented(`    ${does}`, columns))];
}
