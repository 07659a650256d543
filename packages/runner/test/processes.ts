import { readdirSync, readFileSync } from "node:fs";

export interface SeenProcess {
  readonly pid: number;
  /** Arguments and variables, each followed by NUL. */
  readonly commandLine: string;
  readonly environment: string;
}

/** Returns the processes whose environment contains `marker`. */
export function processesOf(marker: string): SeenProcess[] {
  const read = (pid: number, file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "latin1");
    } catch {
      return "";
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .map((pid) => ({ pid, commandLine: read(pid, "cmdline"), environment: read(pid, "environ") }))
    .filter(({ environment }) => environment.includes(marker));
}
