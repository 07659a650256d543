/** Which limits of single processes (getrlimit(2)) an agent's programs get. Pure. */
import type { RunnerLimits } from "@valet/shared/protocol/sandbox-limits";

/** A process's own limits, which an ordinary user can only lower. */
export interface OwnLimits {
  readonly openFiles: { readonly soft: number; readonly hard: number };
  /** Of a file, in bytes. */
  readonly fileSize: { readonly hard: number };
  /** Of a process's data, in bytes. */
  readonly dataSize: { readonly hard: number };
}

/** @param text of `/proc/self/limits` (proc_pid_limits(5)) */
export function parseOwnLimits(text: string): OwnLimits {
  const read = (name: string) => {
    const line = text.split("\n").find((each) => each.startsWith(`${name} `)) ?? "";
    const [soft = "", hard = ""] = line.slice(name.length).trim().split(/\s+/);
    return { soft: numberOf(soft), hard: numberOf(hard) };
  };
  return { openFiles: read("Max open files"), fileSize: read("Max file size"), dataSize: read("Max data size") };
}

/** What is not a number is no limit. */
const numberOf = (text: string) => (/^\d+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY);

/** In the units of the shell's `ulimit`: blocks of 512 bytes for files, KiB for data (POSIX, dash(1), bash(1)). */
export interface ShellLimits {
  readonly openFiles: { readonly soft: number; readonly hard: number };
  readonly fileBlocks: number;
  /** Only where nothing limits the memory of the whole sandbox. */
  readonly dataKib: number | undefined;
}

export function shellLimits({ openFiles, diskBytes, memoryBytes, applied }: RunnerLimits, own: OwnLimits): ShellLimits {
  const hard = Math.min(openFiles, own.openFiles.hard);
  const isPerProcess = applied.memory === "rlimit";
  return {
    openFiles: { soft: Math.min(hard, own.openFiles.soft), hard },
    fileBlocks: Math.floor(Math.min(diskBytes, own.fileSize.hard) / 512),
    dataKib: isPerProcess ? Math.floor(Math.min(memoryBytes, own.dataSize.hard) / 1024) : undefined,
  };
}
