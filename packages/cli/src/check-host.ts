/** Finds the host that runs on a state directory, and the settings that it was started with. */
import { existsSync } from "node:fs";
import { isDirectoryLocked } from "@valet/sandbox";
import { Health } from "@valet/shared/protocol/session-api";
import type { Finding } from "./check-telemetry.ts";
import { readConnection, type Uses } from "./system/state.ts";
import { UP_ROLE } from "./system/state-directory.ts";
import { openableFormat } from "./system/state-format.ts";

export interface HostFinding {
  readonly finding: Finding;
  /** Its settings; `undefined` when no host answers, `null` when the host does not report them. */
  readonly uses: Uses | null | undefined;
}

const name = "system";
const TIMEOUT_MS = 5000;

/** Queries the host that was last started on the state directory. Never rejects. */
export async function findHost(stateDir: string): Promise<HostFinding> {
  const idle = found("note", `nothing runs on ${stateDir}; start Valet with \`pnpm valet up\``);
  if (!existsSync(stateDir)) return idle;
  try {
    openableFormat(stateDir);
  } catch (error) {
    return found("missing", (error as Error).message);
  }
  const connection = readConnection(stateDir);
  if (connection === undefined) return idle;
  const { url, uses = null } = connection;
  try {
    const response = await fetch(`${url}/api/health`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const health = Health.safeParse(await response.json());
    if (!health.success) return idle;
    return { finding: { name, source: "the running host", ...stateOf(url, health.data) }, uses };
  } catch {
    if (!(await isDirectoryLocked(stateDir, UP_ROLE))) return idle;
    return found(
      "missing",
      `\`valet up\` runs on ${stateDir}, but does not answer at ${url}: read its output, or stop it and start it again`,
    );
  }
}

function found(state: Finding["state"], detail: string): HostFinding {
  return { finding: { name, state, detail, source: "the state directory" }, uses: undefined };
}

/** Returns what the health of a running host means. */
export function stateOf(url: string, health: Health): Pick<Finding, "state" | "detail"> {
  const { sessions = 0, waitingSpans = 0, since = "", reason = "" } = health.export ?? {};
  if (health.database === "full") {
    return {
      state: "missing",
      detail: `runs at ${url}, but its disk is full: make room; nothing is written until then`,
    };
  }
  if (health.database === "unavailable") {
    return { state: "missing", detail: `runs at ${url}, but its database does not answer: read its output` };
  }
  if (sessions === 0) return { state: "ok", detail: `runs at ${url}` };
  const detail = `runs at ${url}; spans of ${sessions} ${sessions === 1 ? "session" : "sessions"} do not reach the backend since ${since} (${reason}; ${waitingSpans} are waiting); fix the problem under \`backend\`, then run \`pnpm valet resend --all\``;
  return { state: "missing", detail };
}
