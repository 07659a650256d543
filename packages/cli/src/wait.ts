/** Waits for a session by polling the API. */
import { setTimeout as sleep } from "node:timers/promises";
import { limitText } from "@valet/shared/duration-text";
import type { MessageView, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import { requestsOf } from "./agent-requests.ts";
import type { ApiClient } from "./api-client.ts";
import { TimedOut, UserError } from "./errors.ts";
import { queueText } from "./queue-text.ts";

const POLL_MS = 200;
/** How long Valet may be away once it has answered, in ms: `valet up` needs seconds to start a Worker that crashed, and the work goes on. */
const AWAY_MS = 30_000;

/**
 * Polls until `done` returns true. Goes on while Valet is away for a moment, but not if it has never answered.
 * @throws TimedOut after `timeoutMs`; `what` names it
 */
export async function waitFor<T>(
  what: string,
  ask: () => Promise<T>,
  done: (answer: T) => boolean,
  timeoutMs: number,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let answeredMs: number | undefined;
  for (;;) {
    try {
      const answer = await ask();
      if (done(answer)) return answer;
      answeredMs = Date.now();
    } catch (error) {
      const isAway = error instanceof UserError && error.type === "no-answer";
      if (!isAway || answeredMs === undefined || Date.now() > Math.min(answeredMs + AWAY_MS, deadline)) throw error;
    }
    if (Date.now() > deadline) throw new TimedOut(`Timed out after ${limitText(timeoutMs)} waiting for ${what}.`);
    await sleep(POLL_MS);
  }
}

/** Returns the session once it has one of these statuses. @throws UserError when it ended with another one */
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

/**
 * Returns the message once it has its outcome. @param report receives what the message waits for, and the agent's
 * requests
 */
export async function waitForMessage(
  api: ApiClient,
  sessionId: string,
  messageId: string,
  report: (line: string) => void,
  timeoutMs: number,
): Promise<MessageView> {
  const reportRequests = createRequestReporter(api, sessionId, messageId, report);
  let last = "";
  const ask = async () => {
    const message = await api.message(sessionId, messageId);
    if (message === undefined) throw new UserError(`The session has no message ${messageId}.`);
    const { status } = message;
    const state = status === "queued" ? queueText(message) : status;
    if (state !== last && status !== "done") report(state);
    last = state;
    if (status === "accepted") await reportRequests();
    return message;
  };
  return waitFor(`message ${messageId}`, ask, ({ status }) => status === "done", timeoutMs);
}

/** Returns a function that reports a message's or workflow's open requests, each once. */
function createRequestReporter(
  api: ApiClient,
  sessionId: string,
  workId: string,
  report: (line: string) => void,
): () => Promise<void> {
  const reported = new Set<string>();
  return async () => {
    for (const { id, lines } of requestsOf(await api.session(sessionId), workId)) {
      if (!reported.has(id)) lines.forEach(report);
      reported.add(id);
    }
  };
}

/**
 * Returns the workflow once it has its outcome. @param report receives the agent's requests @param onLook receives each
 * polled view
 */
export function waitForWorkflow(
  api: ApiClient,
  sessionId: string,
  executionId: string,
  report: (line: string) => void,
  onLook: (workflow: WorkflowView) => void,
  timeoutMs: number,
): Promise<WorkflowView> {
  const reportRequests = createRequestReporter(api, sessionId, executionId, report);
  const ask = async () => {
    const workflow = await api.workflow(sessionId, executionId);
    onLook(workflow);
    if (workflow.status === "accepted") await reportRequests();
    return workflow;
  };
  return waitFor(`workflow ${executionId}`, ask, ({ status }) => status === "done", timeoutMs);
}

/** Says how a message or workflow ended; no lines when it succeeded. */
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

/** Returns the text of an answer. */
export function answerText(message: MessageView): string {
  return message.parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}
