/**
 * Ends the sandbox after its host has died. Usually the host's guardian process does that first; the runner does it in case
 * both were killed. The runner notices the host's death by a file descriptor whose other end only the host holds open.
 */
import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { listProcessIds, readEnvironment } from "./proc-files.ts";

/** How long the runner waits for the guardian to end the sandbox, in ms. */
const GUARDIAN_MS = 2_000;
/** A killed process may just have started another one, so the search repeats, at most this often. */
const MAX_ROUNDS = 40;
const ROUND_MS = 50;

/** Waits for the host's death, then kills every process of the sandbox, this one last. */
export async function endWithHost(descriptor: number, sandboxId: string | undefined): Promise<never> {
  await whenClosed(descriptor);
  await sleep(GUARDIAN_MS);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const left = sandboxId === undefined ? [] : listProcessIds().filter((pid) => isOfSandbox(pid, sandboxId));
    if (left.length === 0) break;
    for (const pid of left) kill(pid);
    await sleep(ROUND_MS);
  }
  // The rest of its process group, which does not have the variable.
  kill(-process.pid);
  process.exit();
}

/** Resolves when no process holds the other end of a pipe or socket open. Discards its data. */
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
    // The process has just ended, or the group does not exist.
  }
}
