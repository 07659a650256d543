/** The session as it looks from outside. */
import { whyOf } from "@valet/shared/outcome";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { SessionView } from "@valet/shared/protocol/session-view";
import type { AgentRequests } from "./agent-requests.ts";
import { isoTime } from "./iso-time.ts";
import type { PromptQueue } from "./prompt-queue.ts";
import type { SessionRecord } from "./session-state.ts";

/** @param capacityPlace its place among the sessions that wait for a sandbox, where it does */
export function viewSession(
  record: SessionRecord,
  queue: PromptQueue,
  requests: AgentRequests,
  capacityPlace: number | undefined,
): SessionView {
  const { id, state, title, repoUrl, branch, ref, model, models, queueMode, idleTimeoutMs, parentSessionId } = record;
  const { errorType, sandbox, generation, createdMs, updatedMs } = record;
  return {
    ...{ id, status: state, models: [...models], queueMode, idleTimeoutMs, generation },
    ...whyOf("error", errorType),
    ...(title !== undefined && { title }),
    // What an older version took may still hold what it should not.
    ...(repoUrl !== undefined && { repoUrl: shownRepoUrl(repoUrl) }),
    ...(branch !== undefined && { branch }),
    ...(ref !== undefined && { ref }),
    ...(model !== undefined && { model }),
    ...(parentSessionId !== undefined && { parentSessionId }),
    ...(sandbox !== undefined && { sandbox }),
    agent: agentOf(record, queue),
    ...(capacityPlace !== undefined && { capacityPlace }),
    queueLength: queue.store.queuedCount(),
    permissions: requests.open("permission"),
    questions: requests.open("question"),
    createdAt: isoTime(createdMs),
    updatedAt: isoTime(updatedMs),
  };
}

function agentOf({ state, link }: SessionRecord, queue: PromptQueue): SessionView["agent"] {
  if (state === "starting" || state === "restoring") return "starting";
  if (state !== "running" && state !== "hibernating") return "none";
  if (link.state !== "connected" || !link.ready) return "disconnected";
  return queue.inFlight().length > 0 ? "busy" : "idle";
}
