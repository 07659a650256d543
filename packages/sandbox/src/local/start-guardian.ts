import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A line means that the broker closed in good order; the end of the input without one, that it died. */
const WAIT = 'read -r _ && exit; exec "$@"';

/**
 * Starts a shell that waits for this process to end, in a session of its own so that no terminal ends both. Only then it
 * becomes the program that ends the sandboxes: a shell takes a megabyte, Node.js sixty.
 * @returns what sends it away
 */
export async function startGuardian(stateDir: string, brokerId: string): Promise<() => Promise<void>> {
  const program = fileURLToPath(new URL("./guardian.ts", import.meta.url));
  const command = [process.execPath, program, stateDir, brokerId];
  const guardian = spawn("/bin/sh", ["-c", WAIT, "valet-sandbox-guardian", ...command], {
    detached: true,
    env: {},
    stdio: ["pipe", "ignore", "ignore"],
  });
  await once(guardian, "spawn");
  const exited = new Promise<void>((resolve) => guardian.once("exit", () => resolve()));
  // Without it only the next start finds what is left, which is no reason to fail.
  guardian.stdin.on("error", () => {});
  guardian.unref();
  return () => {
    guardian.ref();
    guardian.stdin.end("\n");
    return exited;
  };
}
