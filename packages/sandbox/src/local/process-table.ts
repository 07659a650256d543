/** What runs on this machine, read from /proc: which processes belong to a sandbox, and whether one is still the same. */
import { readdirSync, readFileSync } from "node:fs";

/** A process, told apart from a later one that got the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** The boot's id and the clock tick of that boot at which the process began. */
  readonly startTime: string;
}

export interface ProcessEntry extends ProcessIdentity {
  readonly parentPid: number;
  /** The session of the system that it belongs to, by its leader's number. */
  readonly systemSession: number;
  /** One letter, as proc_pid_stat(5) has it. */
  readonly state: string;
}

/** How to find the processes of a sandbox. */
export interface SandboxProcesses {
  readonly sandboxId: string;
  /** The entrypoint started last, alive or not. */
  readonly leader?: ProcessIdentity | undefined;
}

/** The variable by which processes are found that left their entrypoint's session and parents behind. */
export const SANDBOX_ID_VARIABLE = "VALET_SANDBOX_ID";

/** Zombie and dead: nothing runs any more, someone only has to read the exit status. */
const GONE_STATES = "ZXx";
/** Stopped by a signal or by a debugger. */
const STOPPED_STATES = "Tt";

let bootId: string | undefined;

/** The process, unless it is gone. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const entry = readEntry(pid);
  return entry === undefined || GONE_STATES.includes(entry.state) ? undefined : entry;
}

/**
 * The identity of a child that the caller has not yet waited for, so that its number is surely not another's, even if it is
 * dead already.
 */
export function identify(pid: number): ProcessIdentity {
  const entry = readEntry(pid);
  if (entry === undefined) throw new Error(`no process ${pid}`);
  return { pid, startTime: entry.startTime };
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return readProcess(pid)?.startTime === startTime;
}

/** Whether every thread of a process is stopped. One that is gone counts as stopped. */
export function isStopped(pid: number): boolean {
  const threads = ignoreGone(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  return threads.every((thread) => {
    const state = readEntry(pid, Number(thread))?.state;
    return state === undefined || STOPPED_STATES.includes(state) || GONE_STATES.includes(state);
  });
}

/**
 * The living processes of a sandbox: those with its marker in the environment they were started with, those in the session
 * of its entrypoint, those of `known` that still live, and the children of all these. A process that wants to stay can:
 * without the marker, the session (or the entrypoint that led it) and its parents it is not found.
 */
export function findProcesses(
  { sandboxId, leader }: SandboxProcesses,
  known: readonly ProcessIdentity[] = [],
): ProcessEntry[] {
  const all = listProcesses();
  const found = new Set(known.filter(isAlive).map(({ pid }) => pid));
  for (const { pid } of all) if (hasVariable(pid, SANDBOX_ID_VARIABLE, sandboxId)) found.add(pid);
  if (leader !== undefined) {
    const session = all.filter((each) => each.systemSession === leader.pid);
    const leading = session.find((each) => each.pid === leader.pid);
    // Of a session without its leader nobody knows whether its number has been given anew: one of ours in it tells.
    const isOurs = leading ? leading.startTime === leader.startTime : session.some((each) => found.has(each.pid));
    if (isOurs) for (const { pid } of session) found.add(pid);
  }
  const children = Map.groupBy(all, (each) => each.parentPid);
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child.pid);
  return all.filter((each) => found.has(each.pid) && each.pid !== process.pid);
}

/** The living processes that were started with this variable in their environment. Other users' are not found. */
export function findProcessesWith(variable: string, value: string): ProcessEntry[] {
  return listProcesses().filter(({ pid }) => hasVariable(pid, variable, value));
}

/** All living processes. */
export function listProcesses(): ProcessEntry[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

function readEntry(pid: number, thread?: number): ProcessEntry | undefined {
  const path = thread === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${thread}/stat`;
  const stat = ignoreGone(() => readFileSync(path, "latin1"));
  if (stat === undefined) return undefined;
  // The second field is the command in parentheses and may hold anything, parentheses and spaces included.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = "", parentPid, , systemSession] = fields;
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return {
    pid,
    parentPid: Number(parentPid),
    systemSession: Number(systemSession),
    state,
    // Field 22 of all, the twentieth from the state on.
    startTime: `${bootId}/${fields[19]}`,
  };
}

function hasVariable(pid: number, variable: string, value: string): boolean {
  return readEnvironment(pid).includes(`\0${variable}=${value}\0`);
}

/** The environment a process was started with, each entry between NULs; empty when it is not ours to read. */
function readEnvironment(pid: number): string {
  return `\0${ignoreGone(() => readFileSync(`/proc/${pid}/environ`, "latin1")) ?? ""}`;
}

function ignoreGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // EPERM and EACCES: another user's.
    if (["ENOENT", "ESRCH", "EPERM", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
