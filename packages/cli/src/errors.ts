/** What the person who called can mend: printed as it stands, without a stack. Anything else that is thrown is a bug of ours. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** What the process ends with. */
export const ExitCode = {
  OK: 0,
  /** The command ran and the answer is no: a turn failed, a check did not pass. */
  FAILED: 1,
  /** The command could not run as it was given. */
  USAGE: 2,
} as const;
