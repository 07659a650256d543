/** Gives each shell of the agent what the trailers of its commits name: the message of the turn whose tool call it runs. */
import { COMMIT_HOOKS_VARIABLE, CommitOrigin, commitVariables } from "@valet/shared/protocol/commit-trailers";
import type { RunnerAccess } from "./runner-access.ts";

/** A command must not wait for long; without an answer its commits name only the session. */
const ANSWER_MS = 500;

/** Reads the folder of the runner's hooks, and removes it from the environment. Absent if commits get no trailers. */
export function readCommitHooks(env: Record<string, string | undefined>): string | undefined {
  const { [COMMIT_HOOKS_VARIABLE]: hooks } = env;
  delete env[COMMIT_HOOKS_VARIABLE];
  return hooks;
}

/**
 * Returns a function that returns the variables for a shell of an OpenCode session.
 * @param blanks the variables of this process that shells do not have, among them settings for OpenCode's own git
 */
export function commitOrigins(access: RunnerAccess, hooks: string, blanks: Readonly<Record<string, undefined>>) {
  /** The unobserved function, since this request is not a model call. */
  const ask = globalThis.fetch;
  return async (opencodeSessionId: string | undefined): Promise<Record<string, string>> => {
    let origin: CommitOrigin = {};
    try {
      if (opencodeSessionId !== undefined) {
        const response = await ask(access.url, {
          method: "POST",
          headers: { authorization: `Bearer ${access.secret}`, "content-type": "application/json" },
          body: JSON.stringify({ shell: { opencodeSessionId } }),
          signal: AbortSignal.timeout(ANSWER_MS),
        });
        origin = CommitOrigin.parse(await response.json());
      }
    } catch {
      // The commits name the session all the same.
    }
    return commitVariables({ ...process.env, ...blanks }, hooks, origin);
  };
}
