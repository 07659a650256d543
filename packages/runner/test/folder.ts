import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** Where what a test began is registered to be ended: with the test itself, or with all tests that share it. */
export type AtEnd = (end: () => void | Promise<void>) => void;

/** Creates an empty folder, which is removed when the test has ended. */
export function temporaryFolder(atEnd: AtEnd = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), "valet-runner-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
