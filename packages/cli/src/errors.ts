/** An error that the user can fix. It is printed without a stack; any other error is printed as an internal error. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** The exit codes of the process. */
export const ExitCode = {
  OK: 0,
  /** The command ran and its result is negative, for example a failed turn or a failed check. */
  FAILED: 1,
  /** Usage or environment error: the command could not run as given. */
  USAGE: 2,
} as const;
