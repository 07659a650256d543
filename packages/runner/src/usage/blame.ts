/**
 * Says which limit of the sandbox ended a program. That a limit was hit while the program ran is not enough: other programs ran as well.
 * How the program ended, or what it said, must tell of it. Pure.
 */
import { constants } from "node:os";
import { LIMIT_ERRORS, type LimitError } from "@valet/shared/limit-errors";

export interface ProgramEnd {
  readonly exitCode?: unknown;
  readonly signal?: string | undefined;
  /** What the program printed, or why it could not do its work. */
  readonly output: string;
}

/** A shell's exit code if a signal ended its program. */
const exitCodeOf = (signal: "SIGKILL" | "SIGXFSZ") => 128 + constants.signals[signal];
/** The reason is at the end. */
const TAIL_LENGTH = 4_000;

/** What programs say, as the C library and common runtimes put it. */
const SIGNS: Record<LimitError, RegExp> = {
  sandbox_out_of_memory:
    /\bkilled\b|\bSIGKILL\b|signal 9\b|\b(?:code|status|error|exit(?:ed)?|with)\W{1,3}137\b|cannot allocate memory|\bENOMEM\b|out of memory|MemoryError|bad_alloc/i,
  sandbox_out_of_processes:
    /resource temporarily unavailable|\bEAGAIN\b|(?:cannot|can't|unable to) (?:fork|(?:create|start) (?:a )?(?:new )?(?:native )?thread)|pthread_create/i,
  sandbox_disk_full: /no space left|\bENOSPC\b|file too large|\bEFBIG\b|file size limit exceeded/i,
  sandbox_out_of_files: /too many open files|\bEMFILE\b/i,
};

/**
 * Returns the limit that the program met first: the one whose sign is first in what it printed. That it was killed comes last, since it
 * printed nothing afterwards.
 * @param hits the limits that were hit while the program ran
 */
export function limitThatEnded(end: ProgramEnd, hits: readonly LimitError[]): LimitError | undefined {
  // Only a limit sends this signal, and only to the program that wrote.
  if (wasEndedBy(end, "SIGXFSZ")) return LIMIT_ERRORS.disk;
  const printed = end.output.slice(-TAIL_LENGTH);
  const signs = hits
    .map((limit) => ({ limit, at: printed.search(SIGNS[limit]) }))
    .filter(({ at }) => at >= 0)
    .sort((one, other) => one.at - other.at);
  return signs[0]?.limit ?? (wasEndedBy(end, "SIGKILL") ? hits.find(isKilling) : undefined);
}

/** Whether processes are killed at this limit. At the others they are refused something, and end by themselves if they do. */
export function isKilling(limit: LimitError): boolean {
  return limit === LIMIT_ERRORS.memory || limit === LIMIT_ERRORS.disk;
}

function wasEndedBy({ exitCode, signal }: ProgramEnd, name: "SIGKILL" | "SIGXFSZ"): boolean {
  return signal === name || exitCode === exitCodeOf(name);
}
