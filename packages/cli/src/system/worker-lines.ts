/** What `up` shows in the terminal of the Worker's log. The log file has every line in full. */
import { cutEnd } from "@valet/shared/text";

/** The part of a line that is shown. */
export interface ShownLine {
  /** `undefined` when the line is of a known kind that needs no action. */
  readonly text: string | undefined;
  /** What the text leaves out of the line: nothing, known noise, or details that may be needed. */
  readonly hides: "nothing" | "known" | "unknown";
  /** Whether it is what a start brings with it, and needs no action before that is over. */
  readonly isOfStart?: true;
}

/** Of a line of an unknown kind, in UTF-16 code units. */
const MAX_LENGTH = 300;
const LACKING = "The Worker: its database lacks tables or columns that this version needs. Start `valet up` again.";
const HIDDEN: ShownLine = { text: undefined, hides: "known" };

/**
 * Lines of workerd that mean nothing to an operator: what its authors log for themselves (`NOSENTRY`), addresses of a
 * stack alone, and clients that disconnected or sent what is no HTTP or WebSocket.
 */
const NOISE: readonly RegExp[] = [
  /^(?:[\w/.+-]+:\d+: )?(?:\w+: )?NOSENTRY\b/,
  /^stack:(?: \S+@?[\da-f]+)+\s*$/,
  /\b(?:kj|capnp|workerd)\/[\w/.+-]+:\d+: disconnected: /,
  /^uncaught exception; source = Uncaught \(in promise\); stack = Error: Network connection lost\.$/,
  // A client's request is malformed: its `Host` is none, or a frame of its WebSocket breaks the protocol. It is refused.
  /^Uncaught exception: [\w/.+-]+:\d+: failed: remote\.jsg\.TypeError: Invalid URL string\.$/,
  /^Uncaught exception: [\w/.+-]+:\d+: failed: remote\.jsg\.Error: WebSocket protocol error; /,
  // A client takes the Worker for a proxy (CONNECT). It is refused.
  /^Received a connect event but we lack a handler\b/,
  /^Uncaught exception: [\w/.+-]+:\d+: failed: remote\.jsg\.Error: Handler does not export a connect\(\) function\.$/,
];

/** Lines of workerd, with what they mean to an operator who does not know workerd. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/\bSQLITE_FULL\b/, "the disk of the state directory is full; writes fail until there is room"],
  [/\bSQLITE_(?:IOERR|READONLY|CANTOPEN)\b/, "a database in the state directory cannot be read or written"],
  [/\bSQLITE_(?:CORRUPT|NOTADB)\b/, "a database in the state directory is damaged"],
];

/**
 * Returns what to show of a line, by its kind. The tracer's diagnostics (`"message":"tracing"`) are for programs too,
 * and shown as they are.
 */
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

/** Returns a failure that the Worker's own code logged, as a sentence without its stack. */
function ownLine(line: string): ShownLine | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { message, error, at, type, variable, setting, lacks } = JSON.parse(line) as Readonly<
      Record<string, unknown>
    >;
    if (type === "config_invalid")
      return { text: `The Worker: the variable ${variable} ${message}.`, hides: "nothing" };
    if (message === "tracing" && typeof type === "string") return { text: line, hides: "nothing" };
    if (typeof message !== "string" || !Array.isArray(at)) return undefined;
    // `up` applies them at every start, while sessions wake.
    if (lacks === "migrations") return { text: LACKING, hides: "known", isOfStart: true };
    if (typeof setting === "string") return { text: `The Worker: ${message}. ${setting}.`, hides: "nothing" };
    const hides = /\bthe disk or the database is full\b/.test(message) ? "known" : "unknown";
    return { text: `The Worker: ${message} (${error}).`, hides };
  } catch {
    return undefined;
  }
}
