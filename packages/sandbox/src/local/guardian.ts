/**
 * Ends the orphaned processes of a broker that died: `node guardian.ts STATE_DIRECTORY BROKER_ID`, executed by the
 * shell that outlives the broker.
 */
import { LIMITS } from "@valet/shared/limits";
import { endProcesses } from "./end-processes.ts";
import { removeLeft } from "./limits/control-groups.ts";
import { StateDirectory } from "./state-directory.ts";

const KILL_TIMEOUT_MS = LIMITS.killMs;

const [path, brokerId] = process.argv.slice(2);
if (path === undefined || brokerId === undefined) throw new Error("usage: guardian.ts STATE_DIRECTORY BROKER_ID");
// Another broker may already use the same directory; its sandboxes are not orphans.
const orphans = new StateDirectory(path).readRecords().filter((record) => record.brokerId === brokerId);
await Promise.all(
  orphans.map(({ id, leader }) => endProcesses({ sandboxId: id, leader }, { graceMs: 0, timeoutMs: KILL_TIMEOUT_MS })),
);
await removeLeft(path, brokerId);
