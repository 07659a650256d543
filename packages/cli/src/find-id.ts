/** Finds what a person means by the beginning of an id. Valet is asked, with one request, unless the id is whole. */
import type { FoundId, IdKind } from "@valet/shared/protocol/found-ids";
import { SessionId, TraceId } from "@valet/shared/protocol/session-api";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-transport.ts";
import { type Candidate, matchId, type Sought } from "./match-id.ts";

type Api = Pick<ApiClient, "findIds">;

/** What ids consist of. Nothing else is asked for. */
const OF_IDS = /^[\w.:-]{1,128}$/;
/** Ids that Valet makes, whole: nothing is left to find. A caller's own id of this form is meant, too. */
const WHOLE = /^(?:msg|wfl|att)_(?:[0-9a-z]{26}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

const SESSION: Sought = {
  one: "session",
  many: "sessions",
  type: "session-not-found",
  remedy: "See `valet sessions`. By a title or repository: `valet sessions --search <words>`.",
};

/** Returns the session's id. @throws UserError if no session, or several, have ids that begin so */
export async function findSessionId(api: Api, text: string): Promise<string> {
  if (SessionId.safeParse(text).success) return text;
  const { candidates, hasMore } = await candidatesOf(api, text, ["session"]);
  return matchId(text, candidates, SESSION, hasMore);
}

/** Returns the id of a trace of the session. @throws UserError if no trace, or several, have ids that begin so */
export async function findTraceId(api: Api, sessionId: string, text: string): Promise<string> {
  if (TraceId.safeParse(text).success) return text;
  const { candidates, hasMore } = await candidatesOf(api, text, ["trace"], sessionId);
  const remedy = `See \`valet trace ${sessionId}\`.`;
  return matchId(text, candidates, { one: "trace", many: "traces", type: "trace-not-found", remedy }, hasMore);
}

/** Returns the id of a message of the session. @throws UserError if no message, or several, have ids that begin so */
export async function findMessageId(api: Api, sessionId: string, text: string): Promise<string> {
  if (WHOLE.test(text)) return text;
  const { candidates, hasMore } = await candidatesOf(api, text, ["message"], sessionId);
  const remedy = `See \`valet messages ${sessionId}\`.`;
  return matchId(text, candidates, { one: "message", many: "messages", type: "message-not-found", remedy }, hasMore);
}

/** Returns the id of a turn of the session, or of the message or workflow for whose turn it stands. @throws UserError */
async function findTurnId(api: Api, sessionId: string, text: string): Promise<string> {
  const { candidates, hasMore } = await candidatesOf(api, text, ["message", "workflow", "turn"], sessionId);
  const sought = {
    one: "turn, message or workflow",
    many: "turns, messages and workflows",
    type: "turn-not-found",
    remedy: `See \`valet messages ${sessionId}\`.`,
  };
  return matchId(text, candidates, sought, hasMore);
}

/** The turns of which a diff is asked for, by their ids or those of messages or workflows; `first` is the session's first turn. */
export interface TurnRange {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** Asks about a range of turns; if it is not found, once more for what its ids are the beginnings of. */
export async function askAboutTurns<T>(
  api: Api,
  sessionId: string,
  range: TurnRange,
  ask: (range: TurnRange) => Promise<T>,
): Promise<T> {
  try {
    return await ask(range);
  } catch (error) {
    if (!(error instanceof ApiError) || error.type !== "turn-not-found") throw error;
    const whole = async (text: string | undefined) =>
      text === undefined || text === "first" || WHOLE.test(text) ? text : await findTurnId(api, sessionId, text);
    const [from, to] = [await whole(range.from), await whole(range.to)];
    if (from === range.from && to === range.to) throw error;
    return ask({ from, to });
  }
}

/** Returns what the ids of these kinds that begin with a text are. @param sessionId the session in which they are looked for */
export async function candidatesOf(
  api: Api,
  text: string,
  kinds: readonly IdKind[],
  sessionId?: string,
): Promise<{
  readonly found: readonly FoundId[];
  readonly candidates: readonly Candidate[];
  readonly hasMore: boolean;
}> {
  if (!OF_IDS.test(text)) return { found: [], candidates: [], hasMore: false };
  const { ids, hasMore } = await api.findIds(text, sessionId);
  const found = ids.filter(({ kind }) => kinds.includes(kind));
  const isFull = hasMore && found.length > 1;
  return { found, candidates: found.map(candidateOf), hasMore: isFull };
}

export function candidateOf({ id, at, title }: FoundId): Candidate {
  const note = [at, title].filter((each) => each !== null).join("  ");
  return { id, note: note === "" ? undefined : note };
}

/** Whether the text is a whole id of a message, a workflow or a turn. */
export const isWholeJobId = (text: string) => WHOLE.test(text);
