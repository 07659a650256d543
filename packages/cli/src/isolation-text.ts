import type { Walls } from "@valet/shared/protocol/sandbox-broker";

/** Returns what separates agents from the machine, as a phrase. */
export function isolationText(isolation: Walls): string {
  if (isolation === "container") {
    return "containers: agents see their own files, processes and network, and run as another user than their runners";
  }
  return isolation === "bwrap"
    ? "bubblewrap: agents see their own files and processes; the network is this machine's"
    : "NONE: agents can read and change everything that this user can; `valet doctor` says how to get one";
}
