/**
 * Ends the sandbox when its host has died. Usually the host's guardian does that, and sooner; where both were killed, nobody
 * else is left who could. A descriptor tells of it, whose other end only the host holds open.
 */
import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { listProcessIds, readEnvironment } from "./proc-files.ts";

/** How long a guardian that lives has for its work, in ms. */
const GUARDIAN_MS = 2_000;
/** A process that starts another while it is killed may leave that one behind: they are looked for again, so often at the most. */
const MAX_ROUNDS = 40;
const ROUND_MS = 50;

/** Waits for the host's death, and then ends every process of the sandbox, this one last. Does not return before. */
export async function endWithHost(descriptor: number, sandboxId: string | undefined): Promise<never> {
  await whenClosed(descriptor);
  await sleep(GUARDIAN_MS);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const left = sandboxId === undefined ? [] : listProcessIds().filter((pid) => isOfSandbox(pid, sandboxId));
    if (left.length === 0) break;
    for (const pid of left) kill(pid);
    await sleep(ROUND_MS);
  }
  // The rest of its group, which has no mark.
  kill(-process.pid);
  process.exit();
}

/** Resolves when nobody holds the other end of a pipe or socket any more. What comes out of it is discarded. */
async function whenClosed(descriptor: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  createReadStream("", { fd: descriptor, autoClose: false })
    .on("end", () => resolve())
    .on("error", () => resolve())
    .resume();
  await promise;
}

function isOfSandbox(pid: number, sandboxId: string): boolean {
  return pid !== process.pid && readEnvironment(pid).includes(`\0VALET_SANDBOX_ID=${sandboxId}\0`);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended, or there is no such group.
  }
}
