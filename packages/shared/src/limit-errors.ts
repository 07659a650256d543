import type { LimitName } from "./protocol/sandbox-limits.ts";
import type { ErrorType } from "./spans.ts";

/** The error type of each limit that ends work; the limit on processors only slows it down. */
export const LIMIT_ERRORS = {
  memory: "sandbox_out_of_memory",
  processes: "sandbox_out_of_processes",
  disk: "sandbox_disk_full",
  open_files: "sandbox_out_of_files",
} as const satisfies Record<Exclude<LimitName, "cpu">, ErrorType>;
export type LimitError = (typeof LIMIT_ERRORS)[keyof typeof LIMIT_ERRORS];

export function isLimitError(type: string | undefined): type is LimitError {
  return (Object.values(LIMIT_ERRORS) as (string | undefined)[]).includes(type);
}
