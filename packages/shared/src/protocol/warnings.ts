/** Warnings: problems of a session that do not stop it. The session's view shows them as long as they persist. */
import { z } from "zod";
import { explain } from "../spans.ts";

/** The warnings of a runner. */
export const RUNNER_WARNINGS = [
  "git_unusable",
  "repository_empty",
  "git_submodule_failed",
  "repository_config_invalid",
  "repository_config_dropped",
  "repository_config_ignored",
  "mcp_server_failed",
] as const;
export type RunnerWarning = (typeof RUNNER_WARNINGS)[number];

/** All warnings, including those of the SessionAgent itself. */
export const WARNING_TYPES = [...RUNNER_WARNINGS, "snapshot_incomplete"] as const;
export type WarningType = (typeof WARNING_TYPES)[number];

export const WarningView = z.object({
  type: z.enum(WARNING_TYPES),
  /** Sentences: what is wrong, and what to do. */
  message: z.string(),
  /** How many files are affected. */
  files: z.int().positive().optional(),
});
export type WarningView = z.infer<typeof WarningView>;

/** Returns whether this version knows a warning; runners of other versions may send others. */
export function isRunnerWarning(type: string): type is RunnerWarning {
  return (RUNNER_WARNINGS as readonly string[]).includes(type);
}

/** Returns the view of a runner's warning. */
export function viewRunnerWarning(type: RunnerWarning): WarningView {
  switch (type) {
    case "repository_config_dropped":
      return {
        type,
        message:
          "OpenCode did not start with the repository's configuration, and works without it. Fix the files that the runner's log names, for example `opencode.json`.",
      };
    case "repository_config_ignored":
      return {
        type,
        message:
          "Some settings of the repository's OpenCode configuration have no effect, although the session trusts it: Valet decides about permissions, tools, sharing, updates and snapshots of OpenCode, the session's model and its own providers. The runner's log names these settings. For an agent that asks a person first, create the session with `--ask-before`.",
      };
    default:
      return { type, message: explain(type) };
  }
}

/** Returns the view of an incomplete snapshot. @param files how many files it lacks */
export function viewIncompleteSnapshot(files: number): WarningView {
  const [what, are] = files === 1 ? ["1 file", "is"] : [`${files} files`, "are"];
  return {
    type: "snapshot_incomplete",
    message: `${what} of the session ${are} not in its last snapshot: sockets, devices or other users' files. With the driver \`local\` the broker's \`snapshot.json\` of that snapshot lists the first of them.`,
    files,
  };
}
