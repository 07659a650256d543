/** Finds out whether this machine lets bubblewrap put a wall around agents. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import type { Isolation } from "@valet/shared/protocol/sandbox-broker";
import { LIMITING_ARGUMENTS, limitingScript } from "@valet/shared/protocol/sandbox-namespaces";

/** Why there can be no wall, and how to get one. */
export interface NoWall {
  readonly reason: string;
  readonly remedy: string;
}

/** It takes 50 ms. A busy machine must not cost sandboxes their wall. */
const PROBE_TIMEOUT_MS = 20_000;
/** Where the runner looks for them, too. */
const PROGRAMS = [
  { path: "/usr/bin/bwrap", package: "bubblewrap" },
  { path: "/usr/bin/nsenter", package: "util-linux" },
];
/**
 * Arguments for bubblewrap: the same namespaces with the same limits as the runner's wall has, and within them the same second ones. The runner enters a wall by
 * nsenter(1), and then has all capabilities in it. bubblewrap alone drops those of an ordinary user, and Linux since version 5.12 demands
 * CAP_SETFCAP for the second namespace, to whose user the first one's root is mapped.
 */
export const WALL_PROBE: readonly string[] = [
  ...["--cap-add", "CAP_SETFCAP"],
  ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
  ...["--uid", "0", "--gid", "0", "--hostname", "sandbox"],
  ...["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", ...LIMITING_ARGUMENTS],
  ...["--", "/bin/sh", "-c", `${limitingScript()}; exec "$@"`, "sh", "/usr/bin/bwrap"],
  ...["--unshare-user", "--uid", "1000", "--gid", "1000", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--"],
  ...["/usr/bin/env", "--default-signal=TERM", "true"],
];

/** Returns what prevents a wall on this machine; `undefined` if nothing does. Never rejects. */
export async function findNoWall(): Promise<NoWall | undefined> {
  for (const { path, package: name } of PROGRAMS) {
    if (!existsSync(path)) return { reason: `${path} is missing`, remedy: `install it: apt-get install ${name}` };
  }
  const complaint = await new Promise<string | undefined>((resolve) => {
    execFile("/usr/bin/bwrap", [...WALL_PROBE], { timeout: PROBE_TIMEOUT_MS, env: {} }, (error, _stdout, stderr) => {
      if (error === null) resolve(undefined);
      else resolve(stderr.trim().split("\n")[0] || `bwrap has failed (${error.signal ?? error.code})`);
    });
  });
  if (complaint === undefined) return undefined;
  return {
    reason: complaint,
    remedy:
      "allow user namespaces to bubblewrap: `sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, `sysctl kernel.unprivileged_userns_clone=1` on older Debian; in a container run it with --privileged or a seccomp profile that allows them",
  };
}

/**
 * Decides what separates agents from the machine.
 * @param wanted what was asked for; by default a wall where one can be
 * @param warn receives the loud line if there is no wall that nobody has refused
 * @throws Error if a wall was asked for and cannot be
 */
export async function chooseIsolation(wanted: Isolation | undefined, warn: (line: string) => void): Promise<Isolation> {
  if (wanted === "none") return "none";
  const missing = await findNoWall();
  if (missing === undefined) return "bwrap";
  const why = `${missing.reason}; ${missing.remedy}`;
  if (wanted === "bwrap") throw new Error(`Sandboxes cannot be isolated by bubblewrap: ${why}`);
  warn(`SANDBOXES ARE NOT ISOLATED: agents can read and change everything that this user can. ${why}`);
  return "none";
}
