/** Gives files that the runner makes to the agent, where the two are different users. */
import { lchownSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Gives a file, or a folder with all that is in it, to the owner of another folder, which the agent's are. Follows no link. Does
 * nothing where the runner is that owner, which it is unless a container has a user for each.
 * @throws errors of the file system
 */
export function giveToOwnerOf(folder: string, path: string): void {
  const { uid, gid } = lstatSync(folder);
  if (uid !== process.geteuid?.()) give(path, uid, gid);
}

function give(path: string, uid: number, gid: number): void {
  const stats = lstatSync(path);
  if (stats.uid !== uid || stats.gid !== gid) lchownSync(path, uid, gid);
  if (!stats.isDirectory()) return;
  for (const name of readdirSync(path)) give(join(path, name), uid, gid);
}
