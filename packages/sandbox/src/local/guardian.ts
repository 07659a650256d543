/**
 * Ends what a broker left running that died without closing: `node guardian.ts STATE_DIRECTORY BROKER_ID`, started by the
 * shell that outlives the broker.
 */
import { LIMITS } from "@valet/shared/limits";
import { endProcesses } from "./end-processes.ts";
import { StateDirectory } from "./state-directory.ts";

const KILL_TIMEOUT_MS = LIMITS.killMs;

const [path, brokerId] = process.argv.slice(2);
if (path === undefined || brokerId === undefined) throw new Error("usage: guardian.ts STATE_DIRECTORY BROKER_ID");
// Another broker may have begun on the same directory: its sandboxes are not ours.
const orphans = new StateDirectory(path).readRecords().filter((record) => record.brokerId === brokerId);
await Promise.all(
  orphans.map(({ id, leader }) => endProcesses({ sandboxId: id, leader }, { graceMs: 0, timeoutMs: KILL_TIMEOUT_MS })),
);
