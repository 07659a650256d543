/** Finds the message or the workflow that `why` is asked about. */
import type { FoundId } from "@valet/shared/protocol/found-ids";
import { SessionId } from "@valet/shared/protocol/session-api";
import type { WhyView } from "@valet/shared/protocol/why";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-transport.ts";
import { readCurrentJob } from "./current-job.ts";
import { UserError } from "./errors.ts";
import { candidateOf, candidatesOf, findSessionId, isWholeJobId } from "./find-id.ts";
import { matchId } from "./match-id.ts";

/** In how many of the newest sessions a message is looked for. */
const MAX_SESSIONS = 100;
/** How many of them are asked at once. */
const AT_ONCE = 8;

const JOBS = ["message", "workflow"] as const;

/** A message or a workflow that may be meant. */
interface FoundJob extends FoundId {
  readonly sessionId: string;
}

/**
 * Returns the answer about a message, a workflow's execution, or the current one of a session. Each id may be given by its
 * beginning.
 * @param session the session of the message; otherwise it is looked for in the newest sessions
 * @throws UserError if there is none, or several begin so
 */
export async function findWhy(api: ApiClient, id: string, session: string | undefined): Promise<WhyView> {
  if (session !== undefined) return whyInSession(api, id, await findSessionId(api, session));
  if (SessionId.safeParse(id).success) return whyOfSession(api, id);
  if (id.startsWith("ses_")) return whyOfSession(api, await findSessionId(api, id));
  const sessions = /^(?:msg|wfl)_/.test(id) ? [] : (await candidatesOf(api, id, ["session"])).found;
  const jobs = await findJobs(api, id);
  const found = [...jobs, ...sessions.map((each) => ({ ...each, sessionId: each.id }))];
  const remedy = `Messages are looked for in the newest ${MAX_SESSIONS} sessions: name an older one with --session.`;
  const what = { one: "message, workflow or session", many: "messages, workflows and sessions" };
  const wanted = matchId(id, withSessions(found), { ...what, type: "message-not-found", remedy });
  const inSessions = jobs.filter((each) => each.id === wanted);
  if (inSessions.length > 1) {
    const ids = inSessions.map(({ sessionId }) => `\n  ${sessionId}`).join("");
    throw new UserError(`${inSessions.length} sessions have ${wanted}: name one with --session.${ids}`, {
      type: "ambiguous-id",
    });
  }
  const [job] = inSessions;
  return job === undefined ? whyOfSession(api, wanted) : whyOf(api, job);
}

const withSessions = (found: readonly FoundJob[]) =>
  found.map((each) => {
    const { id, note } = candidateOf(each);
    return each.kind === "session" ? { id, note } : { id, note: `${note ?? ""}  in ${each.sessionId}` };
  });

async function whyOfSession(api: ApiClient, sessionId: string): Promise<WhyView> {
  const { kind, id } = await readCurrentJob(api, sessionId);
  return api.why(sessionId, kind, id);
}

function whyOf(api: ApiClient, { kind, id, sessionId }: FoundJob): Promise<WhyView> {
  return api.why(sessionId, kind === "workflow" ? "workflow" : "message", id);
}

async function whyInSession(api: ApiClient, id: string, sessionId: string): Promise<WhyView> {
  if (isWholeJobId(id)) {
    const view = await whyUnlessUnknown(api, sessionId, id);
    if (view === undefined) throw new UserError(`Session ${sessionId} has no message and no workflow ${id}.`);
    return view;
  }
  const { found, candidates, hasMore } = await candidatesOf(api, id, JOBS, sessionId);
  const remedy = `See \`valet messages ${sessionId}\`.`;
  const what = { one: `message or workflow of ${sessionId}`, many: `messages and workflows of ${sessionId}` };
  const wanted = matchId(id, candidates, { ...what, type: "message-not-found", remedy }, hasMore);
  const { kind } = found.find((each) => each.id === wanted) as FoundId;
  return api.why(sessionId, kind === "workflow" ? "workflow" : "message", wanted);
}

/**
 * Looks in the newest sessions for messages and workflows whose ids begin with a text. If it is the id of one, no further
 * sessions are asked.
 */
async function findJobs(api: ApiClient, text: string): Promise<FoundJob[]> {
  const sessions = await api.newestSessions(MAX_SESSIONS);
  const found: FoundJob[] = [];
  for (let first = 0; first < sessions.length; first += AT_ONCE) {
    const asked = sessions.slice(first, first + AT_ONCE).map(async ({ id: sessionId }) => {
      const { found } = await unlessGone(candidatesOf(api, text, JOBS, sessionId));
      return found.map((each) => ({ ...each, sessionId }));
    });
    const jobs = (await Promise.all(asked)).flat();
    const whole = jobs.filter(({ id }) => id === text);
    if (whole.length > 0) return whole;
    found.push(...jobs);
  }
  return found;
}

const NOBODY: Awaited<ReturnType<typeof candidatesOf>> = { found: [], candidates: [], hasMore: false };

/** A session of the list may be deleted by the time that it is asked. */
async function unlessGone(asked: ReturnType<typeof candidatesOf>): ReturnType<typeof candidatesOf> {
  return asked.catch((error: unknown) => {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410)) return NOBODY;
    throw error;
  });
}

/** Returns the answer about a message or a workflow; `undefined` if the session has none of this id. */
async function whyUnlessUnknown(api: ApiClient, sessionId: string, id: string): Promise<WhyView | undefined> {
  const isUnknown = (error: unknown) => {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  };
  const view = await api.why(sessionId, "message", id).catch(isUnknown);
  return view ?? (await api.why(sessionId, "workflow", id).catch(isUnknown));
}
