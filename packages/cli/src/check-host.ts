/** Finds the host that runs on a state directory, and the settings that it was started with. */
import { existsSync } from "node:fs";
import { isDirectoryLocked } from "@valet/sandbox";
import { BrokerHealth, type Walls } from "@valet/shared/protocol/sandbox-broker";
import type { ShownLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import { Health } from "@valet/shared/protocol/session-api";
import type { z } from "zod";
import type { Finding } from "./check-telemetry.ts";
import { counted } from "./counted.ts";
import { readConnection, type Uses } from "./system/state.ts";
import { UP_ROLE } from "./system/state-directory.ts";
import { openableFormat } from "./system/state-format.ts";

export interface HostFinding {
  readonly finding: Finding;
  /** Its settings; `undefined` when no host answers, `null` when the host does not report them. */
  readonly uses: Uses | null | undefined;
  /** What separates agents from its machine; absent if its broker does not say. */
  readonly isolation?: Walls | undefined;
  /** Which network its sandboxes have; absent if its broker does not say. */
  readonly network?: Network | undefined;
  /** The limits of each of its sandboxes; absent if its broker does not say. */
  readonly limits?: ShownLimits | undefined;
}

const name = "system";
const TIMEOUT_MS = 5000;

/**
 * Queries both parts of the host that was last started on the state directory: its Worker and its sandbox broker. Never rejects.
 * @param timeoutMs for each of the two, which are asked at the same time
 */
export async function findHost(stateDir: string, timeoutMs = TIMEOUT_MS): Promise<HostFinding> {
  const idle = found("note", `nothing runs on ${stateDir}; start Valet with \`pnpm valet up\``);
  if (!existsSync(stateDir)) return idle;
  try {
    openableFormat(stateDir);
  } catch (error) {
    return found("missing", (error as Error).message);
  }
  const connection = readConnection(stateDir);
  if (connection === undefined) return idle;
  const { url, brokerUrl, uses = null, isStopped } = connection;
  const [worker, broker] = await Promise.all([
    ask(`${url}/api/health`, Health, timeoutMs),
    brokerUrl === undefined ? undefined : ask(`${brokerUrl}/v1/health`, BrokerHealth, timeoutMs),
  ]);
  if (worker.value !== undefined) {
    const finding = stateOf(url, worker.value, broker?.why === undefined ? undefined : `at ${brokerUrl} ${broker.why}`);
    // While the engine is away a broker with containers does not say.
    const { isolation = uses?.containers && "container", network, limits } = broker?.value ?? {};
    return { finding: { name, source: "the running host", ...finding }, uses, isolation, network, limits };
  }
  if (!(await isDirectoryLocked(stateDir, UP_ROLE))) {
    // Versions that did not note it may have been stopped.
    if (isStopped !== false) return idle;
    const died = `\`valet up\` ran on ${stateDir} and ended without being stopped`;
    return found("missing", `${died}: start it again with \`pnpm valet up\`, and look at its output if it ends again`);
  }
  const silent = `its Worker does not answer at ${url} ${worker.why}`;
  const also =
    broker === undefined
      ? ""
      : broker.why === undefined
        ? "; its sandbox broker answers"
        : "; nor does its sandbox broker";
  return found(
    "missing",
    `\`valet up\` runs on ${stateDir}, but ${silent}${also}: read its output, or end it and start it again`,
  );
}

/** Queries one part of the host. Never rejects. @returns the answer, or what follows "does not answer" */
async function ask<T>(
  url: string,
  schema: z.ZodType<T>,
  timeoutMs: number,
): Promise<{ readonly value: T; readonly why?: undefined } | { readonly value?: undefined; readonly why: string }> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: "manual" });
    const { data } = schema.safeParse(await response.json());
    return data === undefined ? { why: "(another program does)" } : { value: data };
  } catch (error) {
    const { name } = error as Error;
    if (name === "TimeoutError") return { why: `within ${timeoutMs / 1000} s` };
    return { why: name === "SyntaxError" ? "(another program does)" : "(no connection)" };
  }
}

function found(state: Finding["state"], detail: string): HostFinding {
  return { finding: { name, state, detail, source: "the state directory" }, uses: undefined };
}

/**
 * Returns what the health of a running host means.
 * @param silentBroker where and how its sandbox broker does not answer
 */
export function stateOf(url: string, health: Health, silentBroker?: string): Pick<Finding, "state" | "detail"> {
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
  if (silentBroker !== undefined) {
    return {
      state: "missing",
      detail: `runs at ${url}, but its sandbox broker, which is part of \`valet up\`, does not answer ${silentBroker}: no sandbox starts or sleeps; end \`valet up\` and start it again`,
    };
  }
  if (sessions === 0) return { state: "ok", detail: `runs at ${url}` };
  const detail = `runs at ${url}; spans of ${counted(sessions, "session")} do not reach the backend since ${since} (${reason}; ${waitingSpans} are waiting); fix the problem under \`backend\`, then run \`pnpm valet resend --all\``;
  return { state: "missing", detail };
}
