/** Waiting for what a session does, by asking. */
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageView, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import type { ApiClient } from "./api-client.ts";
import { askedFor } from "./asked.ts";
import { UserError } from "./errors.ts";
import { queueText } from "./queue-text.ts";

const POLL_MS = 200;

/**
 * Asks until `done` says so.
 * @throws UserError when it took longer than `timeoutMs`; `what` names it
 */
export async function waitFor<T>(
  what: string,
  ask: () => Promise<T>,
  done: (answer: T) => boolean,
  timeoutMs: number,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (done(answer)) return answer;
    if (Date.now() > deadline) throw new UserError(`Waited ${Math.round(timeoutMs / 1000)} s for ${what}; gave up.`);
    await sleep(POLL_MS);
  }
}

/** The session, once its status is one of these. @throws UserError when it has ended in another way */
export function waitForStatus(
  api: ApiClient,
  id: string,
  statuses: readonly SessionView["status"][],
  timeoutMs: number,
): Promise<SessionView> {
  const ask = async () => {
    const session = await api.session(id);
    const ended = session.status === "error" || session.status === "terminated";
    if (ended && !statuses.includes(session.status)) {
      const why = session.errorType === undefined ? "" : ` (${session.errorType})`;
      throw new UserError(
        [`The session is ${session.status}${why}.`, session.failure?.message].filter(Boolean).join(" "),
      );
    }
    return session;
  };
  return waitFor(
    `the session to be ${statuses.join(" or ")}`,
    ask,
    ({ status }) => statuses.includes(status),
    timeoutMs,
  );
}

/** The message, once it has its outcome. @param report told what it waits for meanwhile, and what the agent asks */
export async function waitForMessage(
  api: ApiClient,
  sessionId: string,
  messageId: string,
  report: (line: string) => void,
  timeoutMs: number,
): Promise<MessageView> {
  const tellAsked = createAskedReport(api, sessionId, messageId, report);
  let last = "";
  const ask = async () => {
    const message = await api.message(sessionId, messageId);
    if (message === undefined) throw new UserError(`The session has no message ${messageId}.`);
    const { status } = message;
    const state = status === "queued" ? queueText(message) : status;
    if (state !== last && status !== "done") report(state);
    last = state;
    if (status === "accepted") await tellAsked();
    return message;
  };
  return waitFor(`message ${messageId}`, ask, ({ status }) => status === "done", timeoutMs);
}

/** Tells what the agent asks for the sake of a message or a workflow, each thing once. */
function createAskedReport(
  api: ApiClient,
  sessionId: string,
  workId: string,
  report: (line: string) => void,
): () => Promise<void> {
  const told = new Set<string>();
  return async () => {
    for (const { id, lines } of askedFor(await api.session(sessionId), workId)) {
      if (!told.has(id)) lines.forEach(report);
      told.add(id);
    }
  };
}

/** The workflow, once it has its outcome. @param report told what the agent asks @param onLook given it at each look */
export function waitForWorkflow(
  api: ApiClient,
  sessionId: string,
  executionId: string,
  report: (line: string) => void,
  onLook: (workflow: WorkflowView) => void,
  timeoutMs: number,
): Promise<WorkflowView> {
  const tellAsked = createAskedReport(api, sessionId, executionId, report);
  const ask = async () => {
    const workflow = await api.workflow(sessionId, executionId);
    onLook(workflow);
    if (workflow.status === "accepted") await tellAsked();
    return workflow;
  };
  return waitFor(`workflow ${executionId}`, ask, ({ status }) => status === "done", timeoutMs);
}

/** How a message or workflow ended, in lines for people: none where all is well. */
export function outcomeLines({
  outcome,
  errorType,
  outcomeReason,
  failure,
}: Pick<MessageView, "outcome" | "errorType" | "outcomeReason" | "failure">): string[] {
  if (outcome === "ok") return [];
  const lines = [`Outcome: ${[outcome, errorType ?? outcomeReason].filter(Boolean).join(", ")}.`];
  return failure === undefined ? lines : [...lines, failure.message];
}

/** The text of an answer. */
export function answerText(message: MessageView): string {
  return message.parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}
