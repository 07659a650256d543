/** What the operator's terminal shows of the Worker's log: sentences. Every line is in the log file, whatever is shown of it. */
import { cutEnd } from "@valet/shared/text";

/** What to show of one line. */
export interface ShownLine {
  /** Nothing where the line is of a known kind that asks nothing of anybody. */
  readonly text: string | undefined;
  /** What the line holds beyond the text: nothing, what is known to tell nobody anything new, or what may be needed. */
  readonly hides: "nothing" | "known" | "unknown";
}

/** Of a line that nobody here knows, in UTF-16 code units. */
const MAX_LENGTH = 300;
const HIDDEN: ShownLine = { text: undefined, hides: "known" };

/**
 * Kinds of lines of workerd that tell an operator nothing: what its authors log for themselves (`NOSENTRY`), addresses of a stack
 * alone, and clients that have left.
 */
const NOISE: readonly RegExp[] = [
  /^(?:[\w/.+-]+:\d+: )?(?:\w+: )?NOSENTRY\b/,
  /^stack:(?: \S+@?[\da-f]+)+\s*$/,
  /\b(?:kj|capnp|workerd)\/[\w/.+-]+:\d+: disconnected: /,
  /^uncaught exception; source = Uncaught \(in promise\); stack = Error: Network connection lost\.$/,
];

/** Lines of workerd that mean something to an operator who has never heard of workerd. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/\bSQLITE_FULL\b/, "the disk of the state directory is full: what cannot be stored is refused until there is room"],
  [/\bSQLITE_(?:IOERR|READONLY|CANTOPEN)\b/, "a database in the state directory cannot be read or written"],
  [/\bSQLITE_(?:CORRUPT|NOTADB)\b/, "a database in the state directory is damaged"],
];

/** Decides by a line's kind. Diagnostics of the tracer (`"message":"tracing"`) are for programs too, and shown as they are. */
export function shownLine(line: string): ShownLine {
  const own = ownLine(line);
  if (own !== undefined) return own;
  if (NOISE.some((kind) => kind.test(line))) return HIDDEN;
  const meaning = MEANINGS.find(([kind]) => kind.test(line))?.[1];
  if (meaning !== undefined) return { text: `The Worker: ${meaning}.`, hides: "known" };
  const [first = ""] = line.split("\n", 1);
  const text = cutEnd(first, MAX_LENGTH);
  return { text, hides: text === line ? "nothing" : "unknown" };
}

/** A failure that our own code has logged, as a sentence without its stack. */
function ownLine(line: string): ShownLine | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { message, error, at, type, variable } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    if (type === "config_invalid")
      return { text: `The Worker: the variable ${variable} ${message}.`, hides: "nothing" };
    if (message === "tracing" && typeof type === "string") return { text: line, hides: "nothing" };
    if (typeof message !== "string" || !Array.isArray(at)) return undefined;
    const hides = /\bno room on the disk\b/.test(message) ? "known" : "unknown";
    return { text: `The Worker: ${message} (${error}).`, hides };
  } catch {
    return undefined;
  }
}
