/** Finds the message or the workflow that `why` is asked about. */
import { SessionId } from "@valet/shared/protocol/session-api";
import type { WhyView } from "@valet/shared/protocol/why";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-transport.ts";
import { UserError } from "./errors.ts";

/** In how many of the newest sessions a message is looked for. */
const MAX_SESSIONS = 100;
/** How many of them are asked at once. */
const AT_ONCE = 8;

/**
 * Returns the answer about a message, a workflow's execution, or the current message of a session.
 * @param sessionId the session of the message; otherwise it is looked for in the newest sessions
 * @throws UserError if there is none
 */
export async function findWhy(api: ApiClient, id: string, sessionId: string | undefined): Promise<WhyView> {
  if (sessionId !== undefined) {
    const view = await whyIn(api, sessionId, id);
    if (view === undefined) throw new UserError(`Session ${sessionId} has no message and no workflow ${id}.`);
    return view;
  }
  if (SessionId.safeParse(id).success) return api.why(id, "message", await currentMessage(api, id));
  const sessions = await api.newestSessions(MAX_SESSIONS);
  for (let first = 0; first < sessions.length; first += AT_ONCE) {
    const asked = sessions.slice(first, first + AT_ONCE).map((session) => whyIn(api, session.id, id));
    const view = (await Promise.all(asked)).find((each) => each !== undefined);
    if (view !== undefined) return view;
  }
  throw new UserError(
    `None of the newest ${MAX_SESSIONS} sessions has a message or a workflow ${id}. Name its session with --session.`,
  );
}

/** Returns the answer about a message or a workflow; `undefined` if the session has none of this id. */
async function whyIn(api: ApiClient, sessionId: string, id: string): Promise<WhyView | undefined> {
  const isUnknown = (error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  };
  const view = await api.why(sessionId, "message", id).catch(isUnknown);
  return view ?? (await api.why(sessionId, "workflow", id).catch(isUnknown));
}

/** Returns the id of the message that is running in a session, or else of its last one. */
async function currentMessage(api: ApiClient, sessionId: string): Promise<string> {
  const newest = await api.newestMessages(sessionId);
  const running = newest.find(({ status }) => status === "dispatched" || status === "accepted");
  const message = running ?? newest[0];
  if (message === undefined) throw new UserError(`Session ${sessionId} has no messages yet.`);
  return message.id;
}
