/** The exit codes of the process. */
export const ExitCode = {
  OK: 0,
  /** The command ran and its result is negative: a failed turn, a failed check, a refused change, a time-out. */
  FAILED: 1,
  /** Usage or environment error: the command could not run as given. */
  USAGE: 2,
  /** Ctrl-C ended the wait for work, which goes on (128 + SIGINT, as shells say it). */
  INTERRUPTED: 130,
  /** SIGTERM did. */
  TERMINATED: 143,
} as const;

export interface ErrorKind {
  /** What scripts tell the error by: a problem of the API without its `urn:`, or a name of the CLI's own. */
  readonly type?: string;
  readonly exitCode?: number;
}

/** An error that the user can fix. It is printed without a stack; any other error is printed as an internal error. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly type: string;
  readonly exitCode: number;

  constructor(message: string, { type = "cannot-run", exitCode = ExitCode.USAGE }: ErrorKind = {}) {
    super(message);
    this.type = type;
    this.exitCode = exitCode;
  }
}

/** What was waited for did not come in time. */
export class TimedOut extends UserError {
  constructor(message: string) {
    super(message, { type: "timeout", exitCode: ExitCode.FAILED });
  }
}
