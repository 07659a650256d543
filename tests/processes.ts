/** Reads processes from /proc on Linux; on other systems finds none. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** `getconf CLK_TCK` is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

/** The command line of a runner. */
export const RUNNER = /\/runner\/(?:dist\/\w+\/bin\.js|src\/bin\.ts)/;

/** The command line of OpenCode's server. */
export const OPENCODE = /^[^\0]*opencode(\.exe)?\0serve/;

/**
 * Returns a file of a process; empty when it has exited or belongs to another user. Arguments and variables end with
 * NUL.
 */
export function readProcess(
  pid: number,
  file: "cmdline" | "comm" | "environ" | "smaps_rollup" | "stat" | "status",
): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** Returns the ids of all running processes, without zombies. */
export function livingProcesses(): number[] {
  return list("/proc").flatMap((name) => (/^\d+$/.test(name) && isLiving(Number(name)) ? [Number(name)] : []));
}

export function isLiving(pid: number): boolean {
  const [state = ""] = statOf(pid);
  return state !== "" && !"ZXx".includes(state);
}

/** Returns the living children of a process. */
export function childrenOf(pid: number): number[] {
  return livingProcesses().filter((each) => Number(statOf(each)[1]) === pid);
}

/**
 * Returns the living processes below these that run OpenCode: its own, not those that put it behind a wall, whose arguments end with
 * its command.
 */
export function openCodesOf(pids: readonly number[]): number[] {
  const children = pids.flatMap(childrenOf);
  if (children.length === 0) return [];
  return [...children.filter((pid) => OPENCODE.test(readProcess(pid, "cmdline"))), ...openCodesOf(children)];
}

/** Kills a process with SIGKILL. @returns false if it has exited already */
export function killNow(pid: number): boolean {
  return signal(pid, "SIGKILL");
}

/** Lets a process go on that a test has stopped. @returns false if it has exited meanwhile */
export function resume(pid: number): boolean {
  return signal(pid, "SIGCONT");
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/**
 * Returns the living processes of the sandbox that a session has in a state directory of `valet up`, by the broker's record of it: a
 * runner that was started ahead of its sandbox has no variable that names a session, and no path has a session's id.
 */
export function processesOfSession(stateDir: string, sessionId: string): number[] {
  const folder = join(stateDir, "broker", "sandboxes");
  const marks = list(folder).flatMap((name) => {
    const record = readRecord(join(folder, name, "sandbox.json"));
    return record?.sessionId === sessionId ? [`VALET_SANDBOX_ID=${record.id}`] : [];
  });
  return livingProcesses().filter((pid) => {
    const environment = readProcess(pid, "environ").split("\0");
    return marks.some((mark) => environment.includes(mark));
  });
}

/** The broker may be removing it. */
function readRecord(path: string): { readonly id: string; readonly sessionId: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** Returns the runners that `valet up` has started ahead of the next sandbox. */
export function waitingRunners(upPid: number, stateDir: string): number[] {
  const runners = childrenOf(upPid).filter((pid) => RUNNER.test(readProcess(pid, "cmdline")));
  return runners.filter((pid) => !concerns(pid, stateDir));
}

/**
 * Whether a process has to do with a path: its environment or one of its open files says so. A runner that was started ahead of its sandbox has only open files that do; before it has a sandbox, it has none.
 */
export function concerns(pid: number, text: string): boolean {
  return readProcess(pid, "environ").includes(text) || openFilesOf(pid).some((path) => path.includes(text));
}

function openFilesOf(pid: number): string[] {
  return list(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      // It has been closed.
      return "";
    }
  });
}

/** Returns the command line, separated by spaces. */
export function commandOf(pid: number): string {
  return readProcess(pid, "cmdline").replaceAll("\0", " ");
}

/** Returns the CPU time of all threads of a process, including the kernel's, in ms, in steps of 10. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/**
 * Returns a process's memory in RAM, in bytes, with its share of the pages that it shares with others (PSS), so that the memory of
 * several processes can be added; 0 when it has exited.
 */
export function memoryBytes(pid: number): number {
  const [, kilobytes] = /^Pss:\s+(\d+) kB$/m.exec(readProcess(pid, "smaps_rollup")) ?? [];
  return Number(kilobytes ?? 0) * 1024;
}

/** Returns the names in a folder; none when it cannot be read. */
export function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/**
 * Returns the fields from the third, the state, on (proc_pid_stat(5)). The second, in parentheses, is a name that may
 * contain anything.
 */
function statOf(pid: number): string[] {
  const stat = readProcess(pid, "stat");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
