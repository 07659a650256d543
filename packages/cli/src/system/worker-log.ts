/** The Worker's log: a file that has every line, and the terminal, which has sentences. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { LogFile } from "@valet/sandbox";
import { shownLine } from "./worker-lines.ts";

/** The log and its predecessor are at most this large each, in bytes. */
const MAX_BYTES = 4 * 1024 * 1024;
/** How often it is said where the rest of a line is. */
const HINT_MS = 60_000;

/**
 * Returns what takes each line of the Worker and of workerd. A line that the file cannot take, on a full disk for one, is shown
 * whole where its text hides what may be needed.
 * @param report writes to the terminal
 */
export function createWorkerLog(path: string, report: (line: string) => void): (line: string) => void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch {
    // Every line that cannot be kept is shown.
  }
  const file = new LogFile(path, MAX_BYTES);
  let hintedMs = -Infinity;
  return (line) => {
    const { text, hides } = shownLine(line);
    if (text !== undefined) report(text);
    const entry = `${new Date().toISOString()} ${line.trimEnd()}\n`;
    void file.append(entry).then((isKept) => {
      if (!isKept && hides === "unknown") report(line);
      if (isKept && text !== undefined && hides !== "nothing" && performance.now() - hintedMs > HINT_MS) {
        hintedMs = performance.now();
        report(`More about that is in ${path}.`);
      }
    });
  };
}
