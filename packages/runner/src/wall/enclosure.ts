/**
 * Starts the runner's git where it sees nothing of the machine but programs, the agent's folders and one of the runner's. What an agent has
 * written may name any file: a repository's objects can be those of another one, by a link or in a list. Here nothing is found there.
 */
import { dirname } from "node:path";
import { MACHINE } from "./machine.ts";

export interface EnclosureOptions {
  /** The agent's folders, which git may read. */
  readonly readable: readonly string[];
  /** The runner's folder, which it may change. */
  readonly own: string;
  /** The path of git; `undefined` if there is none. */
  readonly git: string | undefined;
  readonly bwrap?: string;
}

/**
 * No more than git needs, since each mount takes time, at each command: git reads neither `/etc` nor `/proc`, and what it may do to
 * other processes is not in the agent's hands.
 */
const SYSTEM = ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store"];

const DEVICES = ["/dev/null", "/dev/urandom"];

/** Returns what stands before git and its arguments. */
export function enclosure({ readable, own, git, bwrap = "/usr/bin/bwrap" }: EnclosureOptions): string[] {
  const shown = (path: string) => ["--ro-bind-try", path, path];
  const system = SYSTEM.flatMap((path) => {
    const target = MACHINE.linkTarget(path);
    return target === undefined ? shown(path) : ["--symlink", target, path];
  });
  const program = git === undefined ? undefined : MACHINE.realPath(git);
  const isShown = program === undefined || SYSTEM.some((path) => program.startsWith(`${path}/`));
  return [
    ...[bwrap, "--unshare-user", "--die-with-parent"],
    ...[...system, ...(isShown ? [] : shown(dirname(dirname(program))))],
    ...DEVICES.flatMap((path) => ["--dev-bind", path, path]),
    ...[...readable.flatMap(shown), "--bind", own, own, "--remount-ro", "/", "--"],
  ];
}
