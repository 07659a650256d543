/**
 * Asks the runner for the environment of each shell of the agent: the context of the tool call's span, and what the trailers of
 * its commits name. One request gives both.
 */
import { LIMITS } from "@valet/shared/limits";
import { ShellAnswer, type ShellRef } from "@valet/shared/protocol/agent-shell";
import { COMMIT_HOOKS_VARIABLE, commitVariables } from "@valet/shared/protocol/commit-trailers";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { OpenAnswers } from "./open-answers.ts";
import type { RunnerAccess } from "./runner-access.ts";

/** OpenCode's input for the environment of a shell: a tool's, or with neither id a terminal's (1.18.33). */
export interface ShellInput {
  readonly sessionID?: string;
  readonly callID?: string;
}

/** Reads the folder of the runner's hooks, and removes it from the environment. Absent if commits get no trailers. */
export function readCommitHooks(env: Record<string, string | undefined>): string | undefined {
  const { [COMMIT_HOOKS_VARIABLE]: hooks } = env;
  delete env[COMMIT_HOOKS_VARIABLE];
  return hooks;
}

/**
 * Returns a function that returns the variables for a shell. It never rejects.
 * @param answers name the message of a tool call, which OpenCode's hook does not
 * @param hooks the folder of the runner's hooks, if commits get trailers
 * @param blanks the variables of this process that shells do not have, among them settings for OpenCode's own git
 */
export function shellEnvironments(
  access: RunnerAccess,
  answers: Pick<OpenAnswers, "current">,
  hooks: string | undefined,
  blanks: Readonly<Record<string, undefined>>,
  hookMs: number = LIMITS.hookMs,
) {
  /** The unobserved function, since this request is not a model call. */
  const ask = globalThis.fetch;

  const answerTo = async (shell: ShellRef): Promise<ShellAnswer> => {
    try {
      const response = await ask(access.url, {
        method: "POST",
        headers: { authorization: `Bearer ${access.secret}`, "content-type": "application/json" },
        body: JSON.stringify({ shell }),
        // A command must not wait for longer. Without an answer it has no context, and its commits name only the session.
        signal: AbortSignal.timeout(hookMs),
      });
      return ShellAnswer.parse(await response.json());
    } catch {
      return {};
    }
  };

  return async ({ sessionID, callID }: ShellInput): Promise<Record<string, string>> => {
    const message = sessionID === undefined ? undefined : answers.current(sessionID);
    const call = message && callID !== undefined ? { messageId: message.id, callId: callID } : undefined;
    const { env, ...origin } =
      sessionID === undefined ? {} : await answerTo({ opencodeSessionId: sessionID, ...withoutUndefined({ call }) });
    const commits = hooks === undefined ? {} : commitVariables({ ...process.env, ...blanks }, hooks, origin);
    return { ...commits, ...env };
  };
}
