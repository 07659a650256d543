/** What is amiss in a session that goes on all the same: shown with the session for as long as it is so. */
import { z } from "zod";
import { explain } from "../spans.ts";

/** What a runner may warn of. */
export const RUNNER_WARNINGS = [
  "git_unusable",
  "repository_empty",
  "git_submodule_failed",
  "repository_config_invalid",
  "repository_config_dropped",
  "mcp_server_failed",
] as const;
export type RunnerWarning = (typeof RUNNER_WARNINGS)[number];

/** What the SessionAgent itself finds, besides. */
export const WARNING_TYPES = [...RUNNER_WARNINGS, "snapshot_incomplete"] as const;
export type WarningType = (typeof WARNING_TYPES)[number];

export const WarningView = z.object({
  type: z.enum(WARNING_TYPES),
  /** What is amiss and what to do about it, in sentences. */
  message: z.string(),
  /** How many files it is about. */
  files: z.int().positive().optional(),
});
export type WarningView = z.infer<typeof WarningView>;

/** Returns whether a runner of this version may warn of it: one of another version may know others. */
export function isRunnerWarning(type: string): type is RunnerWarning {
  return (RUNNER_WARNINGS as readonly string[]).includes(type);
}

/** Makes the view of a warning of the runner. */
export function viewRunnerWarning(type: RunnerWarning): WarningView {
  const message =
    type === "repository_config_dropped"
      ? "OpenCode did not start with the repository's configuration, and works without it. Mend the files that the runner's log names, `opencode.json` say."
      : explain(type);
  return { type, message };
}

/** Makes the view of what a snapshot lacks. @param files how many */
export function viewIncompleteSnapshot(files: number): WarningView {
  const [what, are] = files === 1 ? ["1 file", "is"] : [`${files} files`, "are"];
  return {
    type: "snapshot_incomplete",
    message: `${what} of the session ${are} not in its last snapshot: sockets, devices or other users' files. The snapshot's \`snapshot.json\`, where the broker keeps it, names the first.`,
    files,
  };
}
