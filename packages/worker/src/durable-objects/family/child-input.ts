/** The settings of a new child: its parent's settings and repository, unless the agent names others. Pure. */
import type { SpawnSession } from "@valet/shared/protocol/child-sessions";
import { CreateSession, isFileUrl } from "@valet/shared/protocol/session-api";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { z } from "zod";
import type { SessionRecord } from "../core/session-state.ts";

export type ChildInput =
  | { readonly ok: true; readonly input: CreateSession; readonly isOwnRepo: boolean }
  /** The error for the agent. */
  | { readonly ok: false; readonly error: string };

export function childInput(
  { prompt, title, repo, branch }: z.infer<typeof SpawnSession>,
  parent: SessionRecord,
  allowsFileRepos: boolean,
): ChildInput {
  const { id, repoUrl, branch: ownBranch, ref, models, model, idleTimeoutMs, agentOtlp, askBefore } = parent;
  const isOwnRepo = repo === undefined || repo === repoUrl;
  const isOwnBranch = branch === undefined;
  const repository = isOwnRepo
    ? {
        repoUrl,
        branch: ownBranch,
        // A ref belongs to the branch that it was given with.
        ref: isOwnBranch ? ref : undefined,
        // The person's trust does not extend to what the agent names.
        trustRepositoryConfig: (isOwnBranch && parent.trustRepositoryConfig) || undefined,
      }
    : { repoUrl: repo };
  const input: CreateSession = {
    prompt,
    models: [...models],
    idleTimeoutMs,
    parentSessionId: id,
    // Otherwise an agent could have a child do what it has to ask for.
    ...withoutUndefined({ ...repository, title, model, agentOtlp, askBefore: askBefore && [...askBefore] }),
    ...withoutUndefined({ branch }),
  };
  const [issue] = CreateSession.safeParse(input).error?.issues ?? [];
  if (issue !== undefined) return { ok: false, error: `${issue.path.join(".")}: ${issue.message}` };
  if (!isOwnRepo && isFileUrl(repo) && !allowsFileRepos) {
    return { ok: false, error: "repoUrl: must be an https or ssh URL of a git repository" };
  }
  return { ok: true, input, isOwnRepo };
}
