/** What the modes of a file say that its lines do not. Pure. */
import type { PatchFile } from "@valet/shared/patch";

const EXECUTABLE = "100755";
const LINK = "120000";

/** Returns whether the file is, or was, a symbolic link. */
export function isLink({ before, after }: PatchFile["modes"]): boolean {
  return before === LINK || after === LINK;
}

/** Returns a sentence; `undefined` for a file of the usual kind. */
export function modeWords({ before, after }: PatchFile["modes"]): string | undefined {
  if (after === LINK) return "It is a symbolic link; its line is where it leads.";
  if (before === LINK) return "It was a symbolic link; its line is where it led.";
  if (before === after) return undefined;
  if (after === EXECUTABLE) return before === undefined ? "It is executable." : "It became executable.";
  if (before === EXECUTABLE) return after === undefined ? "It was executable." : "It is no longer executable.";
  return undefined;
}
