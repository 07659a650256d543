/** The platform's error texts for a full disk: SQLite's, the operating system's, and those of D1's limit. */
const FULL =
  /SQLITE_FULL|SQLITE_IOERR|disk I\/O error|database or disk is full|ENOSPC|No space left on device|exceeded maximum DB size|storage limit/i;

/** Returns whether an error says that storage is full. The failed operation was rolled back. */
export function isStorageFull(error: unknown): boolean {
  for (let [each, depth] = [error, 0]; each !== undefined && each !== null && depth < 5; depth++) {
    const { message, cause, code } = each as { message?: unknown; cause?: unknown; code?: unknown };
    if (FULL.test(`${String(message)} ${String(code)}`)) return true;
    each = cause;
  }
  return false;
}

/**
 * The platform's text when an object failed without an error of its own code: locally, D1 on a full disk, which cannot
 * be opened or written.
 */
const UNKNOWN = /^(?:D1_ERROR: )?internal error; reference = \w+$/;

interface PlatformError {
  readonly message?: unknown;
  /** Set when the error was thrown on the other side of a call. */
  readonly remote?: unknown;
  readonly durableObjectReset?: unknown;
}

/** Returns whether an object lost its storage, for whatever reason. */
export function isStorageLost(error: unknown): boolean {
  const { message, remote, durableObjectReset } = (error ?? {}) as PlatformError;
  return (remote === true || durableObjectReset === true) && UNKNOWN.test(String(message));
}
