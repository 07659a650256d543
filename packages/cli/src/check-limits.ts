/** Checks by what the limits of sandboxes hold. */
import { limitWarning } from "@valet/sandbox";
import type { ShownLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Finding } from "./check-telemetry.ts";
import { limitsText } from "./limits-text.ts";

/** @param running what the running host's broker says; there is nothing to say if none answers */
export function checkLimits(running: ShownLimits | undefined): Finding[] {
  if (running === undefined) return [];
  const warning = limitWarning({
    memory: running.memory.by,
    cpu: running.cpu.by,
    processes: running.processes.by,
    disk: running.disk.by,
    open_files: running.open_files.by,
  });
  const detail = limitsText(running);
  return [
    warning === undefined
      ? { name: "limits", state: "ok", detail: `each sandbox has ${detail}` }
      : { name: "limits", state: "note", detail: `each sandbox has ${detail}. ${warning}` },
  ];
}
