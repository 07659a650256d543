/**
 * Whether a creation asks again for a session that exists. A session that was created with an id of the caller's has the digest of what
 * was asked for. Others have none: the object chose their ids, or an earlier version created them. Then what is known of the session
 * decides, and what is not known contradicts nothing: which fields the caller left to their defaults, for example.
 */
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { SessionParts } from "./compose.ts";
import type { NewSession } from "./contract.ts";

export function isSameCreation(parts: Pick<SessionParts, "state" | "queue">, input: NewSession): boolean {
  const { digest } = parts.state.record;
  if (input.digest === undefined) return true;
  return digest === undefined ? !contradicts(parts, input) : digest === input.digest;
}

function contradicts({ state, queue }: Pick<SessionParts, "state" | "queue">, input: NewSession): boolean {
  const { record } = state;
  const { repoUrl, models = [], trustRepositoryConfig = false, askBefore = [] } = input;
  const { queueMode, idleTimeoutMs, user, prompt } = input;
  const first = queue.jobs.jobsAfter("message", 0, 1)[0];
  const firstPrompt = first?.initial ? queue.jobs.message(first.id).content : undefined;
  return (
    (["title", "branch", "ref", "model", "parentSessionId", "agentOtlp"] as const).some(
      (name) => input[name] !== record[name],
    ) ||
    (repoUrl && shownRepoUrl(repoUrl)) !== record.repoUrl ||
    JSON.stringify(models) !== JSON.stringify(record.models) ||
    trustRepositoryConfig !== (record.trustRepositoryConfig ?? false) ||
    JSON.stringify(askBefore) !== JSON.stringify(record.askBefore ?? []) ||
    (queueMode ?? "followup") !== record.queueMode ||
    (idleTimeoutMs !== undefined && idleTimeoutMs !== record.idleTimeoutMs) ||
    (user !== undefined && user !== (record.userId ?? record.ownerId)) ||
    prompt !== firstPrompt
  );
}
