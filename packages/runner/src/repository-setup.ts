/** Sets up the repository of a runner's session in its workspace. */
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { SpanContext } from "@valet/shared/tracing";
import { setUpRepository } from "./git/git-setup.ts";
import { RepositoryProgress } from "./git/repository-progress.ts";
import type { RunnerOptions } from "./runner-options.ts";
import { AGENT_USER, asUser } from "./wall/other-user.ts";

export interface SetupLimits {
  readonly parent: SpanContext;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onWarning(warning: RunnerWarning): void;
}

/** Clones the repository, or finds it as an earlier runner or a snapshot left it. Never rejects. */
export function setUpWorkspace(
  { tracing, settings, onProblem }: Pick<RunnerOptions, "tracing" | "settings" | "onProblem">,
  repo: ToRunnerOf<"repo-config">,
  limits: SetupLimits,
): ReturnType<typeof setUpRepository> {
  return setUpRepository({
    ...limits,
    tracer: tracing.base,
    workspace: settings.workspace,
    repo,
    progress: new RepositoryProgress(settings.stateFolder, settings.generation),
    isRestored: settings.isRestored,
    allowFile: settings.allowFile,
    env: process.env,
    // What it writes is the agent's.
    runAs: settings.isolation === "user" ? asUser(AGENT_USER) : undefined,
    onProblem,
  });
}
