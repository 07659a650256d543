/** Checks what separates agents from this machine. */
import { findNoNetwork, findNoWall } from "@valet/sandbox";
import type { Walls } from "@valet/shared/protocol/sandbox-broker";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import type { Finding } from "./check-telemetry.ts";

const name = "isolation";

/**
 * @param running what the running host's broker says; `undefined` if none answers
 * @param network what it says about the network
 */
export async function checkIsolation(running: Walls | undefined, network: Network | undefined): Promise<Finding[]> {
  if (running === "container") {
    const detail =
      "the running `valet up` has each session in a container, with another user for the agent than for the runner";
    return [{ name, state: "ok", detail }];
  }
  const missing = await findNoWall();
  if (missing !== undefined) {
    const detail = `agents are not isolated, and can read and change everything that this user can: ${missing.reason}; ${missing.remedy}`;
    return [{ name, state: "note", detail }];
  }
  if (running === "none") {
    const detail =
      "bubblewrap works here, but the running `valet up` does not use it: start it again, without `--isolation none`";
    return [{ name, state: "note", detail }];
  }
  const wall = "bubblewrap works: `valet up` puts each session's agent behind a wall";
  return [{ name, state: "ok", detail: wall }, await checkNetwork(network)];
}

async function checkNetwork(running: Network | undefined): Promise<Finding> {
  const missing = await findNoNetwork();
  if (missing !== undefined) {
    const detail = `agents share this machine's network, and can reach everything on its loopback interface: ${missing.reason}; ${missing.remedy}`;
    return { name: "network", state: "note", detail };
  }
  if (running === "shared") {
    const detail =
      "agents can have a network of their own here, but those of the running `valet up` do not: start it again";
    return { name: "network", state: "note", detail };
  }
  return { name: "network", state: "ok", detail: "slirp4netns works: each session's agent has a network of its own" };
}
