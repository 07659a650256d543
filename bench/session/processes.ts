/** What Linux tells about processes, in /proc; other systems tell nothing. */
import { readFileSync } from "node:fs";

/** `getconf CLK_TCK` is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

/** The processes that this one's main thread has started and that live. */
export function childrenOf(pid: number): number[] {
  const children = read(pid, `task/${pid}/children`).trim();
  return children === "" ? [] : children.split(" ").map(Number);
}

/** The command line, its words set apart by spaces. */
export function commandOf(pid: number): string {
  return read(pid, "cmdline").replaceAll("\0", " ");
}

/** CPU time that all threads of a process have used so far, in the kernel too, in ms; it counts in steps of 10. */
export function cpuMs(pid: number): number {
  // The second field, in brackets, is a name that may hold anything; utime and stime are the 14th and 15th (proc_pid_stat(5)).
  const fields = read(pid, "stat").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Memory that a process has in RAM, shared pages included. */
export function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(read(pid, "status")) ?? [];
  return Number(kilobytes) * 1024;
}

function read(pid: number, file: string): string {
  return readFileSync(`/proc/${pid}/${file}`, "utf8");
}
