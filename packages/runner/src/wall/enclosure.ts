/**
 * Starts the runner's git where it sees nothing of the machine but programs, the agent's folders and one of the runner's. What an agent has
 * written may name any file: a repository's objects can be those of another one, by a link or in a list. Here nothing is found there.
 */
import { dirname } from "node:path";
import { MACHINE } from "./machine.ts";

/** No more than git needs, since each mount takes time at each command. It needs neither `/etc` nor `/proc`. */
const SYSTEM = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store"];

const DEVICES = ["/dev/null", "/dev/urandom"];

/**
 * Returns what stands before git and its arguments.
 * @param readable the agent's folders, which git may read
 * @param own the runner's folder, which it may change
 */
export function enclosure(readable: readonly string[], own: string): string[] {
  const shown = (path: string) => ["--ro-bind-try", path, path];
  const system = SYSTEM.flatMap((path) => {
    const target = MACHINE.linkTarget(path);
    return target === undefined ? shown(path) : ["--symlink", target, path];
  });
  const git = MACHINE.realPath(Bun.which("git") ?? "");
  const isShown = git === undefined || SYSTEM.some((path) => git.startsWith(`${path}/`));
  return [
    ...["/usr/bin/bwrap", "--unshare-user", "--die-with-parent"],
    ...[...system, ...(isShown ? [] : shown(dirname(dirname(git))))],
    ...DEVICES.flatMap((path) => ["--dev-bind", path, path]),
    ...[...readable.flatMap(shown), "--bind", own, own, "--remount-ro", "/", "--"],
  ];
}
