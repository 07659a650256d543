/** What Linux tells about processes, in /proc; other systems tell nothing. */
import { readdirSync, readFileSync } from "node:fs";

/** `getconf CLK_TCK` is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

/** Text of a process; empty where it has ended, or is another user's. Arguments and variables end with NUL. */
export function readProcess(pid: number, file: "cmdline" | "comm" | "environ" | "stat" | "status"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** All that run, zombies left out. */
export function livingProcesses(): number[] {
  return list("/proc").flatMap((name) => (/^\d+$/.test(name) && isLiving(Number(name)) ? [Number(name)] : []));
}

export function isLiving(pid: number): boolean {
  const [state = ""] = statOf(pid);
  return state !== "" && !"ZXx".includes(state);
}

/** Those that a process has started, and that live. */
export function childrenOf(pid: number): number[] {
  return livingProcesses().filter((each) => Number(statOf(each)[1]) === pid);
}

/** The command line, its words set apart by spaces. */
export function commandOf(pid: number): string {
  return readProcess(pid, "cmdline").replaceAll("\0", " ");
}

/** CPU time that all threads of a process have used so far, in the kernel too, in ms; it counts in steps of 10. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Memory that a process has in RAM, shared pages included; 0 where it has ended. */
export function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readProcess(pid, "status")) ?? [];
  return Number(kilobytes ?? 0) * 1024;
}

/** The names in a folder; none where it cannot be read. */
export function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** The fields from the third on, the state (proc_pid_stat(5)): the second, in brackets, is a name that may hold anything. */
function statOf(pid: number): string[] {
  const stat = readProcess(pid, "stat");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}
