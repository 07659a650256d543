/** Ends, pauses and resumes all processes of a sandbox. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  findProcesses,
  isAlive,
  isStopped,
  type ProcessEntry,
  type ProcessIdentity,
  type SandboxProcesses,
} from "./process-table.ts";

export interface EndOptions {
  /** How long the processes may take to end by themselves; 0 kills at once. */
  readonly graceMs: number;
  /** How long killed ones may take to disappear. */
  readonly timeoutMs: number;
}

/** A process that starts another cannot stop before that one's first step; if that one was stopped just then, both must go on. */
const PAUSE_RETRY_MS = 250;

/**
 * Ends every process of a sandbox and resolves once none is left. The entrypoint is asked first, and the others when it is
 * gone: it knows best in which order to end its children. What is left after the grace is killed.
 * @throws when processes are left in spite of that
 */
export async function endProcesses(target: SandboxProcesses, { graceMs, timeoutMs }: EndOptions): Promise<void> {
  const { leader } = target;
  // What is known before the entrypoint goes is kept in mind: without it, some could not be told any more.
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
    if (Date.now() > end) throw new Error(`${left.length} processes did not end when killed`);
    kill(left, leader);
    await waitUntilGone(left, Math.min(end, Date.now() + 100));
  }
}

/**
 * Stops every process of a sandbox where it is, so that its files stand still. Resolves to what lets them go on.
 * @throws when some have not stopped within `timeoutMs`; they go on then
 */
export async function pauseProcesses(target: SandboxProcesses, timeoutMs: number): Promise<() => void> {
  const resume = () => {
    for (const { pid } of findProcesses(target)) signal(pid, "SIGCONT");
  };
  const end = Date.now() + timeoutMs;
  let retryAt = Date.now() + PAUSE_RETRY_MS;
  // Stopped ones cannot start others, so the first round that finds nobody running is the last.
  for (;;) {
    const running = findProcesses(target).filter(({ pid }) => !isStopped(pid));
    if (running.length === 0) return resume;
    for (const { pid } of running) signal(pid, "SIGSTOP");
    await sleep(2);
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
  // The whole group in one step, which no process in it can outrun by forking.
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
    // It is gone, or has become another user's: both show when it is looked for again.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
