/** Reads OpenCode's history of a session and its sub-agents, and converts it into events. */
import type { SpanContext } from "@valet/shared/tracing";
import type { HistoryMessage, OpenCodeClient } from "./client.ts";
import type { AgentEvent, AskedEvent, Part, SessionStatus, ToolPart } from "./events.ts";

/** The past of a session and its child sessions, with the pending requests to a person in any of them. */
export interface Past extends SessionPast {
  readonly pending: readonly AskedEvent[];
  /** Requests that were known to be open and are no longer pending. */
  readonly closed: readonly AgentEvent[];
}

interface SessionPast {
  readonly sessionId: string;
  readonly messages: readonly HistoryMessage[];
  readonly status: SessionStatus;
  /** Whether the agent has begun to answer. */
  readonly hasBegun: boolean;
  readonly children: ReadonlyMap<string, SessionPast>;
}

export interface PastQuery {
  readonly client: Pick<OpenCodeClient, "statuses" | "messages" | "pending">;
  readonly context: SpanContext;
  readonly sessionId: string;
  readonly turn: TurnStart;
  /** Returns the number of known messages of a session. */
  knownMessages(sessionId: string): number;
  /** Whether the agent is already known to have begun its answer. */
  readonly hasBegun: boolean;
  /** Returns whether a sub-agent's session is already known completely. */
  isKnown(sessionId: string): boolean;
  /** Returns the session of each request that is known to be open, by the request's id. */
  openRequests(): ReadonlyMap<string, string>;
}

/** Identifies the beginning of a turn in the histories of its sessions. */
export interface TurnStart {
  /** The prompt's message in OpenCode. */
  readonly userMessageId: string;
  /** When the prompt was sent, epoch ms. */
  readonly startMs: number;
}

/** The maximum number of sub-agents' sessions that are read. */
const MAX_CHILDREN = 100;
/** How many unknown messages the first page has room for. */
const UNKNOWN_MESSAGES = 8;
/** The maximum difference between a turn's clock and OpenCode's, in ms. They differ after somebody sets the system's clock. */
const CLOCK_STEP_MS = 60_000;

/** Returns whether all older messages of the session are from before the turn. */
export function beginsTurn({ info }: HistoryMessage, { userMessageId, startMs }: TurnStart): boolean {
  return info.id === userMessageId || info.time.created < startMs - CLOCK_STEP_MS;
}

/** Reads the past of a prompt. @throws OpenCodeError if not all of it can be read */
export async function readPast(query: PastQuery): Promise<Past> {
  const past = await readOnce(query);
  const isUnsure = past.status.type === "idle" && past.hasBegun && !query.hasBegun;
  // The session may have been idle because it had not begun yet.
  return isUnsure ? await readOnce(query) : past;
}

async function readOnce(query: PastQuery): Promise<Past> {
  const { client, context, sessionId, turn, knownMessages, isKnown, openRequests } = query;
  const open = openRequests();
  // Statuses first, so the history of a session that was idle then is complete. Pending requests last, so none of them belongs
  // to a call that the history shows as ended.
  const statuses = await client.statuses(context);
  const seen = new Set([sessionId]);
  const read = async (id: string): Promise<SessionPast> => {
    const expected = knownMessages(id) + UNKNOWN_MESSAGES;
    const messages = await client.messages(id, context, { expected, isFirst: (each) => beginsTurn(each, turn) });
    const recent = messages.filter(({ info }) => info.time.created >= turn.startMs);
    const children = new Map<string, SessionPast>();
    for (const child of recent.flatMap(({ parts }) => parts.flatMap((part) => childOf(part) ?? []))) {
      if (seen.has(child) || seen.size > MAX_CHILDREN || isKnown(child)) continue;
      seen.add(child);
      children.set(child, await read(child));
    }
    const hasBegun = recent.some(({ info }) => info.role === "assistant");
    return { sessionId: id, messages, status: statuses.get(id) ?? IDLE, hasBegun, children };
  };
  const past = await read(sessionId);
  const pending = await client.pending(context);
  const stillOpen = new Set(pending.map(({ properties }) => properties.id));
  const closed = [...open].filter(([id]) => !stillOpen.has(id));
  return { ...past, pending, closed: closed.map(([requestID, sessionID]) => closedRequest(sessionID, requestID)) };
}

const closedRequest = (sessionID: string, requestID: string): AgentEvent => ({
  type: "request.closed",
  properties: { sessionID, requestID },
});

/**
 * Returns events that lead to this past. They have no ids, and therefore no times.
 * @param isBusy returns whether a session is known to be busy
 */
export function eventsOf(past: Past, isBusy: (sessionId: string) => boolean): AgentEvent[] {
  // Only the prompted session gets a final status. A sub-agent is done when its call has a result; idle alone could mean
  // that it has not begun. After a failure OpenCode reports idle before and after the last message, so the events do, too.
  const { status, closed, pending } = past;
  return [
    ...eventsUntilNow(past, isBusy),
    ...closed,
    ...pending,
    statusOf(past, status),
    ...(status.type === "idle" ? [statusOf(past, status)] : []),
  ];
}

function eventsUntilNow(past: SessionPast, isBusy: (sessionId: string) => boolean): AgentEvent[] {
  const { sessionId, messages, status, hasBegun, children } = past;
  const events: AgentEvent[] = [];
  if (status.type !== "idle") events.push(statusOf(past, status));
  // It became idle afterwards.
  else if (hasBegun && !isBusy(sessionId)) events.push(statusOf(past, { type: "busy" }));
  for (const { info, parts } of messages) {
    events.push(announced(info));
    for (const part of parts) {
      const child = children.get(childOf(part) ?? "");
      if (child !== undefined) events.push(updated(asRunning(part as ToolPart)), ...eventsUntilNow(child, isBusy));
      events.push(updated(part));
    }
    events.push({ type: "message.updated", properties: { info } });
  }
  return events;
}

const IDLE: SessionStatus = { type: "idle" };

const updated = (part: Part): AgentEvent => ({ type: "message.part.updated", properties: { part } });

const statusOf = ({ sessionId }: SessionPast, status: SessionStatus): AgentEvent => ({
  type: "session.status",
  properties: { sessionID: sessionId, status },
});

/** Returns the first event of a message, which must precede its parts. */
function announced(info: HistoryMessage["info"]): AgentEvent {
  const { created } = info.time;
  if (info.role === "user") return { type: "message.updated", properties: { info } };
  const { error: _, finish: __, ...rest } = info;
  return { type: "message.updated", properties: { info: { ...rest, time: { created } } } };
}

/** Returns the session of a tool call's sub-agent. */
function childOf(part: Part): string | undefined {
  return part.type === "tool" && part.state.status !== "pending" ? part.state.metadata?.sessionId : undefined;
}

/** Returns a tool call in its running state, as before its result, while its sub-agent worked. */
function asRunning(part: ToolPart): ToolPart {
  const { state } = part;
  if (state.status !== "completed" && state.status !== "error") return part;
  const { input, metadata, time } = state;
  return { ...part, state: { status: "running", input, metadata, time: { start: time.start } } };
}

/**
 * Removes from a history what contradicts events that happened before it was read but are applied after it: a status that has
 * changed, the answer of a call that fails first in those events, and the end of a request whose answer they contain.
 */
export function withoutTold(history: readonly AgentEvent[], later: readonly AgentEvent[]): AgentEvent[] {
  const retried = retriedMessages(history, later);
  const statuses = later.flatMap(({ type, properties }) => (type === "session.status" ? properties : []));
  const answered = answeredRequests(later);
  return history.filter(({ type, properties }) => {
    if (type === "session.status") {
      const { type: status } = properties.status;
      const told = statuses.filter(({ sessionID }) => sessionID === properties.sessionID);
      // A final idle status stays, unless later events show that the session continued.
      return status === "busy" || !told.some((other) => status === "retry" || other.status.type !== "idle");
    }
    if (type === "request.closed") return !answered.has(properties.requestID);
    if (type === "message.part.updated") return !retried.has(properties.part.messageID);
    if (type !== "message.updated" || !retried.has(properties.info.id)) return true;
    return properties.info.role === "user" || properties.info.time.completed === undefined;
  });
}

/** Returns the requests to a person whose answers are in the events. */
export function answeredRequests(events: readonly AgentEvent[]): ReadonlySet<string> {
  const answers = new Set(["permission.replied", "question.replied", "question.rejected"]);
  return new Set(
    events.flatMap(({ type, properties }) =>
      answers.has(type) && "requestID" in properties ? properties.requestID : [],
    ),
  );
}

/** Returns the messages that OpenCode was working on when it reported a retry. */
function retriedMessages(history: readonly AgentEvent[], later: readonly AgentEvent[]): ReadonlySet<string> {
  const retried = new Set<string>();
  for (const [index, { type, properties }] of later.entries()) {
    if (type !== "session.status" || properties.status.type !== "retry") continue;
    const { sessionID } = properties;
    const answers = history.flatMap((event) => {
      const isAnswer = event.type === "message.updated" && event.properties.info.role === "assistant";
      return isAnswer && event.properties.info.sessionID === sessionID ? [event.properties.info.id] : [];
    });
    const told = new Set(later.slice(index).flatMap((event) => messageOf(event) ?? []));
    for (const id of answers) if (told.has(id) || id === answers.at(-1)) retried.add(id);
  }
  return retried;
}

function messageOf({ type, properties }: AgentEvent): string | undefined {
  if (type === "message.updated") return properties.info.id;
  return type === "message.part.updated" ? properties.part.messageID : undefined;
}
