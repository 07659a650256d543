/** Finds the job that a session's verdict is about. Pure. */
import type { NowView } from "../protocol/now.ts";
import type { MessageView, WorkflowView } from "../protocol/session-view.ts";

/** What is known of a message or a workflow. */
type Job = Pick<MessageView | WorkflowView, "id" | "acceptedAt" | "endedAt">;

export interface CurrentJob {
  readonly kind: "message" | "workflow";
  readonly id: string;
}

/**
 * Returns the running job that was dispatched first; if none is running, the first job in the queue; if the queue is empty, the job that ended
 * last; `undefined` if the session has had none.
 * @param messages the newest ones
 * @param workflows the newest ones
 */
export function currentJob(
  { running, queue }: Pick<NowView, "running" | "queue">,
  messages: readonly Job[],
  workflows: readonly Job[],
): CurrentJob | undefined {
  const [longest] = running.toSorted((a, b) => Date.parse(a.dispatchedAt) - Date.parse(b.dispatchedAt));
  const [last] = [...jobsOf("message", messages), ...jobsOf("workflow", workflows)].sort((a, b) => b.atMs - a.atMs);
  return longest ?? queue[0] ?? last;
}

function jobsOf(kind: CurrentJob["kind"], jobs: readonly Job[]) {
  return jobs.map(({ id, endedAt, acceptedAt }) => ({ kind, id, atMs: Date.parse(endedAt ?? acceptedAt) }));
}
