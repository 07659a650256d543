/** Reads /proc: which processes belong to a sandbox, and whether a process is still the same one. */
import { readdirSync, readFileSync } from "node:fs";

/** Identifies a process, as opposed to a later one with the same process id. */
export interface ProcessIdentity {
  readonly pid: number;
  /** The boot's id, and the clock tick after boot at which the process started. */
  readonly startTime: string;
}

export interface ProcessEntry extends ProcessIdentity {
  readonly parentPid: number;
  /** The system session that the process belongs to: its leader's process id. */
  readonly systemSession: number;
  /** One letter, as proc_pid_stat(5) has it. */
  readonly state: string;
}

/** What is known about the processes of a sandbox. */
export interface SandboxProcesses {
  readonly sandboxId: string;
  /** The last started entrypoint, alive or not. */
  readonly leader?: ProcessIdentity | undefined;
}

/** The variable that marks a sandbox's processes, also those that left their entrypoint's session and parents. */
export const SANDBOX_ID_VARIABLE = "VALET_SANDBOX_ID";

/** Zombie and dead: nothing runs any more; the parent only has to read the exit status. */
const GONE_STATES = "ZXx";
/** Stopped by a signal or a debugger. */
const STOPPED_STATES = "Tt";
/** The functions of the kernel in which nothing waits but a parent for its vfork child: of Linux from 5.10 on, before, and not inlined. */
const VFORK_PLACES: readonly string[] = ["kernel_clone", "_do_fork", "wait_for_vfork_done"];

let bootId: string | undefined;

/** Returns the process; `undefined` when it has exited. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const entry = readEntry(pid);
  return entry === undefined || GONE_STATES.includes(entry.state) ? undefined : entry;
}

/**
 * Returns the identity of a child process that the caller has not waited for yet. Its process id cannot have been
 * reused, even if it has exited already.
 */
export function identify(pid: number): ProcessIdentity {
  const entry = readEntry(pid);
  if (entry === undefined) throw new Error(`no process ${pid}`);
  return { pid, startTime: entry.startTime };
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return readProcess(pid)?.startTime === startTime;
}

/** Returns whether every thread of a process is stopped. A process that has exited counts as stopped. */
export function isStopped(pid: number): boolean {
  return threadsOf(pid).every((thread) => isThreadStopped(pid, thread));
}

/**
 * Returns whether a process that has been sent SIGSTOP does nothing more: each of its threads is stopped, or waits until its child has
 * exited or executes a program (vfork(2)). Such a thread stops no earlier, but writes nothing until then, and stops before it returns.
 */
export function isHeld(pid: number): boolean {
  return threadsOf(pid).every((thread) => isThreadStopped(pid, thread) || waitsForChild(pid, thread));
}

function threadsOf(pid: number): number[] {
  return (ignoreGone(() => readdirSync(`/proc/${pid}/task`)) ?? []).map(Number);
}

function isThreadStopped(pid: number, thread: number): boolean {
  const state = readEntry(pid, thread)?.state;
  return state === undefined || STOPPED_STATES.includes(state) || GONE_STATES.includes(state);
}

/** The state alone (`D`) does not tell it from one that waits for a disk, which may still write; where in the kernel it waits does. */
function waitsForChild(pid: number, thread: number): boolean {
  const place = ignoreGone(() => readFileSync(`/proc/${pid}/task/${thread}/wchan`, "latin1"));
  return place !== undefined && VFORK_PLACES.includes(place);
}

/**
 * Returns the living processes of a sandbox: those started with its marker in their environment, those in its
 * entrypoint's session, those of `known` that still live, and the descendants of all these. A process can hide from
 * this search by leaving the marker, the session and its parents behind.
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
    // Once a session's leader has exited, its id may have been reused; a known process in the session proves that it
    // has not.
    const isOurs = leading ? leading.startTime === leader.startTime : session.some((each) => found.has(each.pid));
    if (isOurs) for (const { pid } of session) found.add(pid);
  }
  const children = Map.groupBy(all, (each) => each.parentPid);
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child.pid);
  return all.filter((each) => found.has(each.pid) && each.pid !== process.pid);
}

/**
 * Returns the living processes that were started with this variable in their environment. Other users' processes are
 * not found.
 */
export function findProcessesWith(variable: string, value: string): ProcessEntry[] {
  return listProcesses().filter(({ pid }) => hasVariable(pid, variable, value));
}

/** Returns all living processes. */
export function listProcesses(): ProcessEntry[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

function readEntry(pid: number, thread?: number): ProcessEntry | undefined {
  const path = thread === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${thread}/stat`;
  const stat = ignoreGone(() => readFileSync(path, "latin1"));
  if (stat === undefined) return undefined;
  // The second field is the command in parentheses, which may itself contain parentheses and spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = "", parentPid, , systemSession] = fields;
  bootId ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return {
    pid,
    parentPid: Number(parentPid),
    systemSession: Number(systemSession),
    state,
    // Field 22 of the file is the twentieth counted from the state.
    startTime: `${bootId}/${fields[19]}`,
  };
}

function hasVariable(pid: number, variable: string, value: string): boolean {
  return readEnvironment(pid).includes(`\0${variable}=${value}\0`);
}

/**
 * Returns the environment that a process was started with, entries separated by NUL; empty when the process belongs to
 * another user.
 */
function readEnvironment(pid: number): string {
  return `\0${ignoreGone(() => readFileSync(`/proc/${pid}/environ`, "latin1")) ?? ""}`;
}

function ignoreGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // EPERM and EACCES: another user's process.
    if (["ENOENT", "ESRCH", "EPERM", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
