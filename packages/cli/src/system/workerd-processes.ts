/**
 * workerd outlives a `valet up` that is killed, and keeps its port and its databases open. Its process is remembered, and ended
 * at the next start. Where there is no /proc (macOS) nothing is remembered.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { identify, isAlive, type ProcessIdentity } from "@valet/sandbox";

const FILE = "workerd.json";

/** Remembers the workerd processes that this process has started. */
export function rememberWorkerd(stateDir: string): void {
  writeFileSync(join(stateDir, FILE), JSON.stringify(childrenNamed("workerd").map(identify)));
}

export function forgetWorkerd(stateDir: string): void {
  rmSync(join(stateDir, FILE), { force: true });
}

/** Ends what a killed predecessor on this state left running. A process that merely got the same number is left alone. */
export function endLeftWorkerd(stateDir: string): void {
  for (const left of readRemembered(stateDir).filter(isAlive)) process.kill(left.pid, "SIGKILL");
  forgetWorkerd(stateDir);
}

function readRemembered(stateDir: string): ProcessIdentity[] {
  try {
    return JSON.parse(readFileSync(join(stateDir, FILE), "utf8"));
  } catch {
    return [];
  }
}

function childrenNamed(name: string): number[] {
  try {
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
    return children.filter((pid) => readFileSync(`/proc/${pid}/comm`, "utf8").trim() === name).map(Number);
  } catch {
    return [];
  }
}
