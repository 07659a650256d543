/** Finds the processes of a `valet up` by the state directory that it serves. */
import { readlinkSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf, list, livingProcesses, readProcess } from "./processes.ts";

/** Returns the living workerd processes that serve a state: those that hold its databases open. */
export function workersOf(state: string): number[] {
  const storage = join(realpathSync(state), "storage");
  return livingProcesses().filter((pid) => {
    if (readProcess(pid, "comm").trim() !== "workerd") return false;
    return list(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).startsWith(storage));
  });
}

/** Returns the children of `up` that are workerd, or are about to be. */
export function wrappersOf(upPid: number): number[] {
  return childrenOf(upPid).filter((pid) => readProcess(pid, "comm").startsWith("workerd"));
}

/** Returns the shells that wait for the death of a broker, to end its sandboxes then. */
export function guardiansOf(state: string): number[] {
  return livingProcesses().filter((pid) => {
    const command = readProcess(pid, "cmdline").split("\0");
    return command.includes("valet-sandbox-guardian") && command.includes(join(realpathSync(state), "broker"));
  });
}

/** Returns the living processes whose command line or environment contains a text. */
export function processesAbout(text: string): number[] {
  return livingProcesses().filter(
    (pid) =>
      pid !== process.pid && (readProcess(pid, "environ").includes(text) || readProcess(pid, "cmdline").includes(text)),
  );
}

/** Waits until a condition holds. @throws Error after the timeout */
export async function until(what: string, holds: () => unknown, timeoutMs = 50_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await holds()); await sleep(20)) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
