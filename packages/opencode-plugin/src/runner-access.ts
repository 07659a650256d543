/** The runner that started this OpenCode: where it is asked, and how. */
import { LIMITS } from "@valet/shared/limits";
import {
  ChildSessionAnswer,
  SECRET_VARIABLES_VARIABLE,
  TOOLS_SECRET_VARIABLE,
  TOOLS_URL_VARIABLE,
  type ToolCall,
  TRUST_VARIABLE,
} from "@valet/shared/protocol/child-sessions";

export interface RunnerAccess {
  readonly url: string;
  readonly secret: string;
}

/**
 * Reads from the environment what the runner has put there, and takes it out: the shells of the agent's tools inherit what
 * is left. `undefined` where no runner has.
 */
export function takeAccess(env: Record<string, string | undefined>): RunnerAccess | undefined {
  const { [TOOLS_URL_VARIABLE]: url, [TOOLS_SECRET_VARIABLE]: secret } = env;
  delete env[TOOLS_URL_VARIABLE];
  delete env[TOOLS_SECRET_VARIABLE];
  return url === undefined || secret === undefined ? undefined : { url, secret };
}

/**
 * Reads which variables nothing may see that the agent starts, and takes the list out.
 * @returns what takes each of them out of a shell's environment
 */
export function takeBlanks(env: Record<string, string | undefined>): Record<string, undefined> {
  const { [SECRET_VARIABLES_VARIABLE]: names = "" } = env;
  delete env[SECRET_VARIABLES_VARIABLE];
  return Object.fromEntries(names.split(",").flatMap((name) => (name === "" ? [] : [[name, undefined]])));
}

/** Reads whether the session trusts its repository with code that runs in this process, and takes that out. */
export function takeTrust(env: Record<string, string | undefined>): boolean {
  const { [TRUST_VARIABLE]: trust } = env;
  delete env[TRUST_VARIABLE];
  return trust === "1";
}

/**
 * Asks the runner.
 * @throws Error with a text for the agent when it does not answer, or not in time; or when `signal` ends the asking
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
      isAborted ? "It was aborted." : `Valet does not answer (${(error as Error).name}). Try again later.`,
    );
  }
  const parsed = ChildSessionAnswer.safeParse(answer);
  if (!parsed.success) throw new Error("Valet's answer was not understood.");
  return parsed.data;
}
