/**
 * Ends the orphaned processes of a broker that died: `node guardian.ts STATE_DIRECTORY BROKER_ID`, executed by the
 * shell that outlives the broker.
 */
import { LIMITS } from "@valet/shared/limits";
import { endProcesses } from "./end-processes.ts";
import { removeLeft } from "./limits/control-groups.ts";
import { StateDirectory } from "./state-directory.ts";
import { BROKER_ROLE, isDirectoryLocked } from "./state-lock.ts";

const KILL_TIMEOUT_MS = LIMITS.killMs;

const [path, brokerId] = process.argv.slice(2);
if (path === undefined || brokerId === undefined) throw new Error("usage: guardian.ts STATE_DIRECTORY BROKER_ID");
// Another broker may already use the same directory; its sandboxes are not orphans.
const orphans = new StateDirectory(path).readRecords().filter((record) => record.brokerId === brokerId);
await Promise.all(
  orphans.map(({ id, leader }) => endProcesses({ sandboxId: id, leader }, { graceMs: 0, timeoutMs: KILL_TIMEOUT_MS })),
);
// A later broker removes what this one has left.
if (!(await isDirectoryLocked(path, BROKER_ROLE))) await removeLeft(path);
