/** Ends, pauses and resumes all processes of a sandbox. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  findProcesses,
  isAlive,
  isHeld,
  isStopped,
  type ProcessEntry,
  type ProcessIdentity,
  type SandboxProcesses,
} from "./process-table.ts";

export interface EndOptions {
  /** How long the processes may take to exit by themselves; 0 kills them at once. */
  readonly graceMs: number;
  /** How long killed processes may take to disappear. */
  readonly timeoutMs: number;
}

/**
 * A process that waits for its vfork child cannot stop before that runs on. Where the kernel does not tell that it waits for one, both must
 * be resumed if the child was stopped first.
 */
const PAUSE_RETRY_MS = 250;

/**
 * Ends every process of a sandbox, and resolves when none is left. The entrypoint gets SIGTERM first, since it knows
 * the order in which to end its children, and the other processes after it has exited. Processes that are left after
 * the grace period are killed.
 * @throws when processes survive that
 */
export async function endProcesses(target: SandboxProcesses, { graceMs, timeoutMs }: EndOptions): Promise<void> {
  const { leader } = target;
  // Remembered from before the entrypoint exits, since without it some processes can no longer be identified.
  let left = findProcesses(target);
  const graceEnd = Date.now() + graceMs;
  if (graceMs > 0 && leader !== undefined && isAlive(leader)) {
    await askToEnd([leader], graceEnd);
    left = findProcesses(target, left);
  }
  if (Date.now() < graceEnd) {
    await askToEnd(left, graceEnd);
    left = findProcesses(target, left);
  }
  for (const end = Date.now() + timeoutMs; left.length > 0; left = findProcesses(target, left)) {
    if (Date.now() > end) throw new Error(`${left.length} processes did not exit when killed`);
    kill(left, leader);
    await waitUntilGone(left, Math.min(end, Date.now() + 100));
  }
}

/**
 * Stops every process of a sandbox, so that its files do not change. Resolves to a function that resumes them.
 * @throws when some have not stopped within `timeoutMs`; all are resumed then
 */
export async function pauseProcesses(target: SandboxProcesses, timeoutMs: number): Promise<() => void> {
  const resume = () => {
    for (const { pid } of findProcesses(target)) signal(pid, "SIGCONT");
  };
  const end = Date.now() + timeoutMs;
  let retryAt = Date.now() + PAUSE_RETRY_MS;
  // A process may have started another one between the list and the look at it. What is held starts none, so nothing runs when a second
  // list has nothing else, and all of it is held.
  let held: ReadonlySet<number> = new Set();
  for (;;) {
    const found = findProcesses(target);
    for (const { pid } of found) if (!isStopped(pid)) signal(pid, "SIGSTOP");
    const running = found.filter(({ pid }) => !isHeld(pid));
    if (running.length === 0 && found.every(({ pid }) => held.has(pid))) return resume;
    held = new Set(running.length === 0 ? found.map(({ pid }) => pid) : []);
    if (running.length > 0) await sleep(2);
    if (Date.now() < retryAt) continue;
    resume();
    if (Date.now() > end) throw new Error(`${running.length} processes did not pause`);
    retryAt = Date.now() + PAUSE_RETRY_MS;
  }
}

async function askToEnd(processes: readonly ProcessIdentity[], end: number): Promise<void> {
  for (const { pid } of processes) {
    signal(pid, "SIGTERM");
    signal(pid, "SIGCONT");
  }
  await waitUntilGone(processes, end);
}

function kill(processes: readonly ProcessEntry[], leader: ProcessIdentity | undefined): void {
  // Signals the whole group in one step, which no process in it can outrun by forking.
  if (leader !== undefined && processes.some(({ systemSession }) => systemSession === leader.pid)) {
    signal(-leader.pid, "SIGKILL");
  }
  for (const { pid } of processes) signal(pid, "SIGKILL");
}

async function waitUntilGone(processes: readonly ProcessIdentity[], end: number): Promise<void> {
  let left = processes.filter(isAlive);
  for (let pauseMs = 1; left.length > 0 && Date.now() < end; pauseMs = Math.min(2 * pauseMs, 25)) {
    await sleep(pauseMs);
    left = left.filter(isAlive);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // The process has exited or changed its user; the next search shows which.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
