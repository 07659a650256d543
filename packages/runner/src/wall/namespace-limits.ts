/**
 * How much a sandbox may take of what the kernel counts for each user of the machine (`/proc/sys/user`, namespaces(7)). It counts what a
 * program behind a wall takes for the wall's user namespace, too, whose limits therefore leave something to the user's other sandboxes.
 */
import { readFileSync } from "node:fs";

/** Of what the machine allows the user. It leaves room for the limits that no program behind the wall sets. */
const SHARE = 0.25;
/** Enough for browsers, whose every tab may have some, and for tests that make sandboxes of their own. */
const MAX_NAMESPACES = 1024;
const NAMESPACES = ["user", "mnt", "net", "pid", "ipc", "uts", "time"].map((name) => `max_${name}_namespaces`);
/** What watches files: by default a user has 128 groups of watches, and each watching program needs one. */
const WATCHES = ["max_inotify_instances", "max_inotify_watches", "max_fanotify_groups", "max_fanotify_marks"];

/**
 * Returns the limits of a sandbox by their names; those that the kernel does not know are left out.
 * @param read returns the text of the machine's limit
 */
export function namespaceLimits(read: (name: string) => string | undefined = readLimit): Record<string, number> {
  const share = (name: string) => Math.ceil(SHARE * Number(read(name) ?? Number.NaN));
  return Object.fromEntries(
    [
      ...NAMESPACES.map((name) => [name, Math.min(MAX_NAMESPACES, share(name))] as const),
      ...WATCHES.map((name) => [name, share(name)] as const),
    ].filter(([, limit]) => Number.isFinite(limit)),
  );
}

function readLimit(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/user/${name}`, "latin1");
  } catch {
    return undefined;
  }
}
