/** Writes the Worker's log: every line to a file, and short sentences to the terminal. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { LogFile } from "@valet/sandbox";
import { shownLine } from "./worker-lines.ts";

/** The maximum size of the log file, and of its predecessor, in bytes. */
const MAX_BYTES = 4 * 1024 * 1024;
/** How often the terminal says where the details are, and repeats a sentence of a known kind, such as a full disk. */
const HINT_MS = 60_000;
/** How long a start may take. */
const START_MS = 60_000;

/**
 * Returns a function that logs a line of the Worker or of workerd. A line that cannot be written to the file, for
 * example on a full disk, is shown whole if its text leaves out details that may be needed.
 * @param report writes to the terminal
 */
export function createWorkerLog(path: string, report: (line: string) => void): (line: string) => void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch {
    // The line is shown in the terminal instead.
  }
  const file = new LogFile(path, MAX_BYTES);
  let hintedMs = -Infinity;
  const isDue = createRepeatLimit();
  const startedUntilMs = performance.now() + START_MS;
  return (line) => {
    const { text: shown, hides, isOfStart } = shownLine(line);
    const text = isOfStart && performance.now() < startedUntilMs ? undefined : shown;
    if (text !== undefined && (hides !== "known" || isDue(text))) report(text);
    const entry = `${new Date().toISOString()} ${line.trimEnd()}\n`;
    void file.append(entry).then((isKept) => {
      if (!isKept && hides === "unknown") report(line);
      if (isKept && text !== undefined && hides !== "nothing" && performance.now() - hintedMs > HINT_MS) {
        hintedMs = performance.now();
        report(`Details are in ${path}.`);
      }
    });
  };
}

/** Returns a function that tells whether a sentence is to be shown: at most once in {@link HINT_MS}. There are few sentences. */
function createRepeatLimit(): (text: string) => boolean {
  const shownMs = new Map<string, number>();
  return (text) => {
    const nowMs = performance.now();
    if (nowMs - (shownMs.get(text) ?? -Infinity) <= HINT_MS) return false;
    shownMs.set(text, nowMs);
    return true;
  };
}
