/** Prepares what an agent is started with if that is possible: a failure is reported, and does not prevent the agent's work. */
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { exceptionType } from "@valet/shared/tracing";
import { makeCommitHooks } from "./git/commit-hooks.ts";
import type { RunnerOptions } from "./runner-options.ts";
import type { OtlpVariables } from "./tools/command-environment.ts";

/** Starts the receiver of the commands' own traces, if the session wants them. @returns `undefined` if there is none */
export function startReceiver(
  { agentOtlp, wall, onProblem }: Pick<RunnerOptions, "agentOtlp" | "wall" | "onProblem">,
  { agentOtlp: isWanted, tracing, captureContent }: ToRunnerOf<"config">,
): OtlpVariables | undefined {
  if (agentOtlp === undefined || isWanted !== true || !tracing) return undefined;
  try {
    wall?.expose(agentOtlp.start(captureContent));
    return (context) => agentOtlp.environment(context);
  } catch (error) {
    onProblem(`commands cannot send traces: ${exceptionType(error)}`);
    return undefined;
  }
}

/** Returns the folder of the hooks that add trailers to commits; `undefined` if they cannot be written, as on a full disk. */
export function tryCommitHooks({
  settings,
  onProblem,
}: Pick<RunnerOptions, "settings" | "onProblem">): string | undefined {
  try {
    return makeCommitHooks(settings.agentFolder ?? settings.stateFolder);
  } catch (error) {
    onProblem(`commits get no trailers: ${exceptionType(error)}`);
    return undefined;
  }
}
