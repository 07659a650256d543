import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ControlGroups } from "../packages/sandbox/src/local/limits/control-groups.ts";

/** Whether this machine lets this user limit all that control groups can limit, in all processes of a sandbox together. */
export async function canLimitAll(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), "valet-groups-"));
  const limits = { memoryBytes: 2 ** 30, cpus: 1, processes: 100, diskBytes: 2 ** 30, openFiles: 1000 };
  const groups = await ControlGroups.open(folder, folder, limits);
  await groups.close();
  rmSync(folder, { recursive: true });
  return Object.values(groups.applied).every((by) => by !== "none");
}
