/** Checks what separates agents from this machine. */
import { findNoWall } from "@valet/sandbox";
import type { Walls } from "@valet/shared/protocol/sandbox-broker";
import type { Finding } from "./check-telemetry.ts";

const name = "isolation";

/** @param running what the running host's broker says; `undefined` if none answers */
export async function checkIsolation(running: Walls | undefined): Promise<Finding> {
  if (running === "container") {
    const detail =
      "the running `valet up` has each session in a container, with another user for the agent than for the runner";
    return { name, state: "ok", detail };
  }
  const missing = await findNoWall();
  if (missing !== undefined) {
    const detail = `agents are not isolated, and can read and change everything that this user can: ${missing.reason}; ${missing.remedy}`;
    return { name, state: "note", detail };
  }
  if (running === "none") {
    const detail =
      "bubblewrap works here, but the running `valet up` does not use it: start it again, without `--isolation none`";
    return { name, state: "note", detail };
  }
  return { name, state: "ok", detail: "bubblewrap works: `valet up` puts each session's agent behind a wall" };
}
