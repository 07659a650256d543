import type { Isolation } from "@valet/shared/protocol/sandbox-broker";

/** Returns what separates agents from the machine, as a phrase. */
export function isolationText(isolation: Isolation): string {
  return isolation === "bwrap"
    ? "bubblewrap: agents see their own files and processes; the network is this machine's"
    : "NONE: agents can read and change everything that this user can; `valet doctor` says how to get one";
}
