/** The address and token of the runner that started this OpenCode. */
import { LIMITS } from "@valet/shared/limits";
import {
  HIDE_PROCESS_VARIABLE,
  SECRET_VARIABLES_VARIABLE,
  TOOLS_SECRET_VARIABLE,
  TOOLS_URL_VARIABLE,
  TRUST_VARIABLE,
} from "@valet/shared/protocol/agent-variables";
import { ChildSessionAnswer, type ToolCall } from "@valet/shared/protocol/child-sessions";

export interface RunnerAccess {
  readonly url: string;
  readonly secret: string;
}

/**
 * Reads the runner's address and token from the environment and removes them, since the shells of the agent's tools
 * inherit it. Returns `undefined` when no runner has set them.
 */
export function readAccess(env: Record<string, string | undefined>): RunnerAccess | undefined {
  const { [TOOLS_URL_VARIABLE]: url, [TOOLS_SECRET_VARIABLE]: secret } = env;
  delete env[TOOLS_URL_VARIABLE];
  delete env[TOOLS_SECRET_VARIABLE];
  return url === undefined || secret === undefined ? undefined : { url, secret };
}

/**
 * Reads the list of variables that the agent's processes must not see, and removes the list.
 * @returns the variables as `undefined`, which blanks them in a shell's environment
 */
export function readHiddenVariables(env: Record<string, string | undefined>): Record<string, undefined> {
  const { [SECRET_VARIABLES_VARIABLE]: names = "" } = env;
  delete env[SECRET_VARIABLES_VARIABLE];
  return Object.fromEntries(names.split(",").flatMap((name) => (name === "" ? [] : [[name, undefined]])));
}

/** Reads whether the session trusts its repository's code to run in this process, and removes the variable. */
export function readTrust(env: Record<string, string | undefined>): boolean {
  const { [TRUST_VARIABLE]: trust } = env;
  delete env[TRUST_VARIABLE];
  return trust === "1";
}

/** Reads whether this process must be hidden from the agent's commands, and removes the variable. */
export function readHidesProcess(env: Record<string, string | undefined>): boolean {
  const { [HIDE_PROCESS_VARIABLE]: hides } = env;
  delete env[HIDE_PROCESS_VARIABLE];
  return hides === "1";
}

/**
 * Sends a request to the runner.
 * @throws Error with a text for the agent when the runner does not answer in time, or when `signal` aborts the request
 */
export async function askRunner(
  { url, secret }: RunnerAccess,
  call: ToolCall,
  signal: AbortSignal,
  timeoutMs: number = LIMITS.toolCallMs,
): Promise<ChildSessionAnswer> {
  let answer: unknown;
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify(call),
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    answer = await response.json();
  } catch (error) {
    const isAborted = signal.aborted;
    throw new Error(
      isAborted ? "The call was aborted." : `Valet does not answer (${(error as Error).name}). Try again later.`,
    );
  }
  const parsed = ChildSessionAnswer.safeParse(answer);
  if (!parsed.success) throw new Error("Valet gave an unexpected answer.");
  return parsed.data;
}
