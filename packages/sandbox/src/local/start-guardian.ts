import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Reads one line when the broker closes; if the input ends without a line, the broker has died. */
const WAIT = 'read -r _ && exit; exec "$@"';

/** The delay before a guardian that exited is replaced. */
const RESTART_DELAY_MS = 1000;

/**
 * Starts a shell that waits for this process to die. The shell has a session of its own, so that a terminal does not
 * end both. Only then does it execute the program that ends the sandboxes: a shell takes one megabyte, Node.js sixty. A
 * killed shell is replaced.
 * @param onError receives errors of the start
 * @returns a function that dismisses the guardian
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
          // Without a guardian, the next broker start ends the orphans, so this is not fatal.
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
