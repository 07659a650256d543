/** Finds and ends the processes of another user, also those that start others as fast as they can. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const MAX_ROUNDS = 100;
const PAUSE_MS = 5;
/** How long what was killed may take to be gone: on a busy machine hundreds of processes wait for their turn even to end. */
const GONE_MS = 3_000;

/** Returns the number of a user of this machine, given by name or number. @throws Error if there is none of this name */
export function userNumber(user: string, passwd: () => string = () => readFileSync("/etc/passwd", "utf8")): number {
  if (/^\d+$/.test(user)) return Number(user);
  const line = passwd()
    .split("\n")
    .find((each) => each.startsWith(`${user}:`));
  const uid = line?.split(":")[2] ?? "";
  if (!/^\d+$/.test(uid)) throw new Error(`no user ${user}`);
  return Number(uid);
}

/**
 * Returns the running processes of a user, up to one more than `atMost`. By their status: the folder in /proc of a process that hides
 * itself is root's.
 */
export function processesOfUser(uid: number, atMost = Number.POSITIVE_INFINITY): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    if (isOfUser(name, uid)) found.push(Number(name));
    if (found.length > atMost) break;
  }
  return found;
}

function isOfUser(pid: string, uid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return !/^State:\t[ZX]/m.test(status) && /^Uid:\t(\d+)/m.exec(status)?.[1] === String(uid);
  } catch {
    return false;
  }
}

/**
 * Kills all processes of a user. Stops them first: what is stopped starts nothing, and still counts against the limit on processes, so
 * that what starts others soon starts none. Takes no process of its own, which that limit may refuse.
 * @returns whether none is left
 */
export async function endProcessesOfUser(uid: number): Promise<boolean> {
  const stopped = new Set<number>();
  for (let round = 0, isNew = true; isNew && round < MAX_ROUNDS; round++) {
    isNew = false;
    for (const pid of processesOfUser(uid)) {
      signal(pid, "SIGSTOP");
      isNew ||= !stopped.has(pid);
      stopped.add(pid);
    }
  }
  for (const end = performance.now() + GONE_MS; ; await sleep(PAUSE_MS)) {
    const left = processesOfUser(uid);
    if (left.length === 0) return true;
    if (performance.now() > end) return false;
    for (const pid of left) signal(pid, "SIGKILL");
  }
}

function signal(pid: number, name: "SIGSTOP" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has just ended.
  }
}
