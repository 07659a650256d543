import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A line means that the broker closed in good order; the end of the input without one, that it died. */
const WAIT = 'read -r _ && exit; exec "$@"';

/** Before a guardian that ended by itself is followed by another. */
const RESTART_DELAY_MS = 1000;

/**
 * Starts a shell that waits for this process to end, in a session of its own so that no terminal ends both. Only then it
 * becomes the program that ends the sandboxes: a shell takes a megabyte, Node.js sixty. One that is killed is followed by another.
 * @param onError told when that does not work
 * @returns what sends it away
 */
export async function startGuardian(
  stateDir: string,
  brokerId: string,
  onError: (error: Error) => void,
): Promise<() => Promise<void>> {
  let isDismissed = false;
  let guardian = await spawnGuardian(stateDir, brokerId);
  const follow = () => {
    guardian.once("exit", () => {
      const timer = setTimeout(async () => {
        if (isDismissed) return;
        try {
          guardian = await spawnGuardian(stateDir, brokerId);
          if (isDismissed) guardian.stdin.end("\n");
          else follow();
        } catch (error) {
          // Without it only the next start finds what is left, which is no reason to end.
          onError(error as Error);
        }
      }, RESTART_DELAY_MS);
      timer.unref();
    });
  };
  follow();
  return async () => {
    isDismissed = true;
    if (guardian.exitCode !== null || guardian.signalCode !== null) return;
    const exited = once(guardian, "exit");
    guardian.ref();
    guardian.stdin.end("\n");
    await exited;
  };
}

async function spawnGuardian(stateDir: string, brokerId: string) {
  const program = fileURLToPath(new URL("./guardian.ts", import.meta.url));
  const command = [process.execPath, program, stateDir, brokerId];
  const guardian = spawn("/bin/sh", ["-c", WAIT, "valet-sandbox-guardian", ...command], {
    detached: true,
    env: {},
    stdio: ["pipe", "ignore", "ignore"],
  });
  await once(guardian, "spawn");
  guardian.stdin.on("error", () => {});
  guardian.unref();
  return guardian;
}
