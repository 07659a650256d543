import { readProcess } from "../process-table.ts";

/**
 * Whether each of these processes is this one, an ancestor or a descendant of it, or has ended: a group with others must not be emptied.
 */
export function areKin(pids: readonly number[]): boolean {
  const ancestors = new Set(lineOf(process.pid));
  return pids.every((pid) => ancestors.has(pid) || lineOf(pid).includes(process.pid) || readProcess(pid) === undefined);
}

/** Returns a process and its ancestors. */
function lineOf(pid: number): number[] {
  const line: number[] = [];
  for (let each: number | undefined = pid; each !== undefined && each > 0; each = readProcess(each)?.parentPid) {
    line.push(each);
  }
  return line;
}
