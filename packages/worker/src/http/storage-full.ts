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
 * The platform's text when an object failed without an error of its own code: locally, one whose file in a full disk cannot
 * be opened or written, or D1. If it was in memory, the error also has `remote`; if it had to be loaded, there is only the text.
 */
const UNKNOWN = /^(?:D1_ERROR: )?internal error; reference = \w+$/;

/** Returns whether an object or D1 lost its storage, for whatever reason. No other call of a request leaves this error to its caller. */
export function isStorageLost(error: unknown): boolean {
  return UNKNOWN.test(String((error as { readonly message?: unknown } | undefined | null)?.message));
}
