/** Composes what a session's object gives to its runner, and what it stores of the runner's spans and of its changes to files. */
import { Diff, type DiffOptions } from "./changes/diff.ts";
import { TurnChanges, type TurnChangesOptions } from "./changes/turn-changes.ts";
import { SessionCredentials, type SessionCredentialsOptions } from "./credentials/session-credentials.ts";
import { BackgroundCheck } from "./link/background-check.ts";
import { RunnerConfig, type RunnerConfigOptions } from "./link/runner-config.ts";
import { RunnerSpans, type RunnerSpansOptions } from "./traces/runner-spans.ts";

export interface RunnerCompositionOptions
  extends SessionCredentialsOptions,
    Omit<RunnerConfigOptions, "credentials" | "link">,
    Pick<RunnerSpansOptions, "traces">,
    Pick<TurnChangesOptions, "sql" | "jobs" | "link">,
    Pick<DiffOptions, "records"> {
  readonly record: RunnerSpansOptions["record"] & TurnChangesOptions["record"];
}

export function composeRunner(options: RunnerCompositionOptions) {
  const { state, link } = options;
  const credentials = new SessionCredentials(options);
  const backgroundCheck = new BackgroundCheck((frame) => link.send(frame));
  const runnerConfig = new RunnerConfig({ ...options, credentials });
  const runnerSpans = new RunnerSpans(options);
  const turnChanges = new TurnChanges({ ...options, runnerSpans });
  const diff = new Diff({
    ...options,
    changes: turnChanges,
    session: () => {
      const { id, generation, repoUrl } = state.record;
      return { id, generation, hasRepository: repoUrl !== undefined };
    },
  });
  return { credentials, backgroundCheck, runnerConfig, runnerSpans, turnChanges, diff };
}
