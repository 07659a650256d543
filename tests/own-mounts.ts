/** Runs commands of the CLI with mounts of their own: on a full disk, or in a folder that is read-only. */
import { execFile, execFileSync } from "node:child_process";
import { CLI, type CommandResult } from "./valet-up.ts";

/** Runs a shell with mounts of its own. */
const OWN_MOUNTS = ["unshare", "--map-root-user", "--mount", "sh", "-c"] as const;

/** Whether this system lets a user mount something for its own processes; some distributions forbid it. */
export const mayMount = (() => {
  try {
    execFileSync(OWN_MOUNTS[0], [...OWN_MOUNTS.slice(1), "mount -t tmpfs none /mnt"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** Runs a command of the CLI after `mounts`, shell commands in which `$DIR` is the folder `dir`. */
export function mounted(dir: string, mounts: string, args: readonly string[], env = {}): Promise<CommandResult> {
  const script = `set -e; ${mounts}; cd "$DIR"; exec "$@"`;
  const [program, ...rest] = [...OWN_MOUNTS, script, "sh", process.execPath, CLI, ...args];
  return new Promise((ended) => {
    const options = { env: { ...process.env, DIR: dir, ...env } };
    execFile(program, rest, options, (error, stdout, stderr) => {
      ended({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** Shell commands for {@link mounted}. */
export const READ_ONLY = 'mount --bind "$DIR" "$DIR"; mount -o remount,ro,bind "$DIR"';
export const FULL = 'mount -t tmpfs -o size=64k none "$DIR"; cat /dev/zero >"$DIR/filling" 2>/dev/null || true';
