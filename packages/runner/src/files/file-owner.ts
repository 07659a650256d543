/** Whose the agent's files are, where the runner is another user than the agent. */
import { lstatSync } from "node:fs";
import type { Owner } from "./open-folder.ts";

/**
 * Returns the owner of a folder of the agent's, to whom files belong that the runner makes for the agent; `undefined` where the runner is
 * that user, which it is unless a container has a user for each.
 * @throws errors of the file system
 */
export function otherOwnerOf(folder: string): Owner | undefined {
  const { uid, gid } = lstatSync(folder);
  return uid === process.geteuid?.() ? undefined : { uid, gid };
}
