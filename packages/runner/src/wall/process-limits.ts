/** Which limits of single processes (getrlimit(2)) an agent's programs get. Pure. */
import type { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";

/** A process's own limits, which an ordinary user can only lower. */
export interface OwnLimits {
  readonly openFiles: { readonly soft: number; readonly hard: number };
  /** Of a file, in bytes. */
  readonly fileSize: { readonly hard: number };
}

/** @param text of `/proc/self/limits` (proc_pid_limits(5)) */
export function parseOwnLimits(text: string): OwnLimits {
  const read = (name: string) => {
    const line = text.split("\n").find((each) => each.startsWith(`${name} `)) ?? "";
    const [soft = "", hard = ""] = line.slice(name.length).trim().split(/\s+/);
    return { soft: numberOf(soft), hard: numberOf(hard) };
  };
  return { openFiles: read("Max open files"), fileSize: read("Max file size") };
}

/** What is not a number is no limit. */
const numberOf = (text: string) => (/^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY);

/**
 * In the units of the shell's `ulimit`: blocks of 512 bytes for files (POSIX). Memory is not among them: what can be limited of a single
 * process is address space, of which OpenCode's runtime reserves 70 GB and uses 200 MB.
 */
export interface ShellLimits {
  readonly openFiles: { readonly soft: number; readonly hard: number };
  readonly fileBlocks: number;
}

export function shellLimits({ openFiles, diskBytes }: RunnerLimits, own: OwnLimits): ShellLimits {
  const hard = Math.min(openFiles, own.openFiles.hard);
  return {
    openFiles: { soft: Math.min(hard, own.openFiles.soft), hard },
    fileBlocks: Math.floor(Math.min(diskBytes, own.fileSize.hard) / 512),
  };
}
