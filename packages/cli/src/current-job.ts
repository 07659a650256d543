/** Reads what the current job of a session is. */
import { type CurrentJob, currentJob } from "@valet/shared/answers/current-job";
import type { ApiClient } from "./api-client.ts";
import { UserError } from "./errors.ts";

type Api = Pick<ApiClient, "now" | "newestMessages" | "newestWorkflows">;

/**
 * Returns the job that a session's verdict is about.
 * @throws UserError if the session has had none
 */
export async function readCurrentJob(api: Api, sessionId: string): Promise<CurrentJob> {
  const now = await api.now(sessionId);
  const unended = currentJob(now, [], []);
  if (unended !== undefined) return unended;
  const [messages, workflows] = await Promise.all([api.newestMessages(sessionId), api.newestWorkflows(sessionId)]);
  const job = currentJob(now, messages, workflows);
  if (job === undefined) throw new UserError(`Session ${sessionId} has no messages and no workflows yet.`);
  return job;
}
