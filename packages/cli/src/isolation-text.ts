import type { Walls } from "@valet/shared/protocol/sandbox-broker";
import type { Network } from "@valet/shared/protocol/sandbox-network";

/** Returns what separates agents from the machine, as a phrase. */
export function isolationText(isolation: Walls, network: Network | undefined): string {
  if (isolation === "container") {
    return "containers: agents see their own files, processes and network, and run as another user than their runners";
  }
  if (isolation === "none") {
    return "NONE: agents can read and change everything that this user can; `valet doctor` says how to get one";
  }
  return network === "own"
    ? "bubblewrap: agents see their own files and processes, and have a network of their own"
    : "bubblewrap: agents see their own files and processes; THE NETWORK IS THIS MACHINE'S, with its loopback interface; `valet doctor` says how to change that";
}
