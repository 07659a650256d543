import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { cutEnd } from "@valet/shared/text";
import { redactSecrets } from "@valet/shared/tracing";

/** How much of a log's end is read; a longer last line loses its beginning. */
const READ_BYTES = 8 * 1024;
/** UTF-16 code units. */
const MAX_LENGTH = 300;
/** Shorter values are not treated as secrets: replacing them would make the line unreadable. */
const MIN_SECRET_LENGTH = 8;
/** Escape sequences of terminals and other control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is they that are to go
const CONTROL = /\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f-\x9f]/g;

/**
 * Returns the last non-empty line of a log, which often says why an entrypoint died.
 * @param secrets values to replace in the line
 * @returns at most 300 UTF-16 code units; `undefined` when there is no line
 */
export function lastLogLine(path: string, secrets: readonly string[]): string | undefined {
  return lastLineOf(readEnd(path), secrets);
}

/** Returns the same of the end of a log. */
export function lastLineOf(text: string, secrets: readonly string[]): string | undefined {
  const line = text
    .split("\n")
    .map((each) => each.replace(CONTROL, "").trim())
    .findLast((each) => each !== "");
  if (line === undefined) return undefined;
  let clean = redactSecrets("log", line);
  for (const secret of secrets) if (secret.length >= MIN_SECRET_LENGTH) clean = clean.replaceAll(secret, "REDACTED");
  return cutEnd(clean, MAX_LENGTH);
}

function readEnd(path: string): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    // The log is missing or unreadable.
    return "";
  }
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, READ_BYTES));
    const read = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString("utf8", 0, read);
  } finally {
    closeSync(file);
  }
}
