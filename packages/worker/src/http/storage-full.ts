/** How a full disk shows, in the platform's own words: SQLite's, the operating system's, and those of D1's limit. */
const FULL =
  /SQLITE_FULL|database or disk is full|ENOSPC|No space left on device|SQLITE_IOERR_WRITE|exceeded maximum DB size|storage limit/i;

/** Whether something failed because there is no room to store anything. What failed was rolled back. */
export function isStorageFull(error: unknown): boolean {
  for (let [each, depth] = [error, 0]; each !== undefined && each !== null && depth < 5; depth++) {
    const { message, cause, code } = each as { message?: unknown; cause?: unknown; code?: unknown };
    if (FULL.test(`${String(message)} ${String(code)}`)) return true;
    each = cause;
  }
  return false;
}

/** The platform's own words where it says no more than that an object's storage failed it: locally D1 does so on a full disk. */
const UNKNOWN = /^(?:D1_ERROR: )?internal error; reference = \w+$/;

/** Whether an object lost its storage, for whatever reason. */
export function isStorageLost(error: unknown): boolean {
  const { message, durableObjectReset } = (error ?? {}) as { message?: unknown; durableObjectReset?: unknown };
  return durableObjectReset === true && UNKNOWN.test(String(message));
}
