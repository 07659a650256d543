/** Finds the current job of a session. */
import type { NowView } from "@valet/shared/protocol/now";
import type { MessageView, WorkflowView } from "@valet/shared/protocol/session-view";
import type { ApiClient } from "./api-client.ts";
import { UserError } from "./errors.ts";

type Api = Pick<ApiClient, "now" | "newestMessages" | "newestWorkflows">;

export interface CurrentJob {
  readonly kind: "message" | "workflow";
  readonly id: string;
}

/**
 * Returns the job, a message or a workflow, that a session's verdict is about. If jobs are running, it is the one that was dispatched
 * first; otherwise the first job in the queue; if the queue is empty, the job that ended most recently.
 * @throws UserError if the session has had none
 */
export async function currentJob(api: Api, sessionId: string): Promise<CurrentJob> {
  const job = unendedJob(await api.now(sessionId)) ?? (await lastJob(api, sessionId));
  if (job === undefined) throw new UserError(`Session ${sessionId} has no messages and no workflows yet.`);
  return job;
}

function unendedJob({ running, queue }: NowView): CurrentJob | undefined {
  const [longest] = running.toSorted((a, b) => Date.parse(a.dispatchedAt) - Date.parse(b.dispatchedAt));
  return longest ?? queue[0];
}

async function lastJob(api: Api, sessionId: string): Promise<CurrentJob | undefined> {
  const [messages, workflows] = await Promise.all([api.newestMessages(sessionId), api.newestWorkflows(sessionId)]);
  const [last] = [...jobsOf("message", messages), ...jobsOf("workflow", workflows)].sort((a, b) => b.atMs - a.atMs);
  return last;
}

function jobsOf(kind: CurrentJob["kind"], jobs: readonly (MessageView | WorkflowView)[]) {
  return jobs.map(({ id, endedAt, acceptedAt }) => ({ kind, id, atMs: Date.parse(endedAt ?? acceptedAt) }));
}
