/** OpenCode's history of a session and of the sub-agents that worked for it, told as the events that were. */
import type { SpanContext } from "@valet/shared/tracing";
import type { HistoryMessage, OpenCodeClient } from "./client.ts";
import type { AgentEvent, AskedEvent, Part, SessionStatus, ToolPart } from "./events.ts";

/** What a session has come to, and each session that a tool call of it made, with what waits for a person in any of them. */
export interface Past extends SessionPast {
  readonly pending: readonly AskedEvent[];
  /** Requests that were known to be open, and are not pending any more. */
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
  /** How many messages of a session are known. */
  knownMessages(sessionId: string): number;
  /** Whether it is known already that the agent has begun to answer. */
  readonly hasBegun: boolean;
  /** Whether all is known of a sub-agent's session. */
  isKnown(sessionId: string): boolean;
  /** The session of each request that is known to be open, by the request's id. */
  openRequests(): ReadonlyMap<string, string>;
}

/** Where a turn begins in the histories of its sessions. */
export interface TurnStart {
  /** The prompt's message in OpenCode. */
  readonly userMessageId: string;
  /** When the prompt was sent, epoch ms. */
  readonly startMs: number;
}

/** Sub-agents whose sessions are read at once, at most. */
const MAX_CHILDREN = 100;
/** How many messages may have come that nothing is known of, without another page being read for them. */
const UNKNOWN_MESSAGES = 8;
/** How far a turn's clock and OpenCode's may be apart, in ms: one of them goes on evenly while somebody sets the other. */
const CLOCK_STEP_MS = 60_000;

/** Whether no older message of the session is the turn's. */
export function beginsTurn({ info }: HistoryMessage, { userMessageId, startMs }: TurnStart): boolean {
  return info.id === userMessageId || info.time.created < startMs - CLOCK_STEP_MS;
}

/** @throws OpenCodeError when not all of it can be read */
export async function readPast(query: PastQuery): Promise<Past> {
  const past = await readOnce(query);
  const isUnsure = past.status.type === "idle" && past.hasBegun && !query.hasBegun;
  // It may have been idle because it had not begun.
  return isUnsure ? await readOnce(query) : past;
}

async function readOnce(query: PastQuery): Promise<Past> {
  const { client, context, sessionId, turn, knownMessages, isKnown, openRequests } = query;
  const open = openRequests();
  // In this order: a session that was done first has told everything then, and so has the call that asks.
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
 * The events that would have led there. They have no ids, and so no times of their own.
 * @param isBusy whether a session is known to be at work
 */
export function eventsOf(past: Past, isBusy: (sessionId: string) => boolean): AgentEvent[] {
  // A sub-agent is done when the call has its result, which tells more than that it is idle: it may not have begun. What has
  // failed is told to be idle before and after its last message.
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
  // Idle is what it was afterwards.
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

/** A message as it was when it was begun, so that its parts find it. */
function announced(info: HistoryMessage["info"]): AgentEvent {
  const { created } = info.time;
  if (info.role === "user") return { type: "message.updated", properties: { info } };
  const { error: _, finish: __, ...rest } = info;
  return { type: "message.updated", properties: { info: { ...rest, time: { created } } } };
}

/** The session of the sub-agent that works for a tool call. */
function childOf(part: Part): string | undefined {
  return part.type === "tool" && part.state.status !== "pending" ? part.state.metadata?.sessionId : undefined;
}

/** A tool call before it had its result: its sub-agent worked then. */
function asRunning(part: ToolPart): ToolPart {
  const { state } = part;
  if (state.status !== "completed" && state.status !== "error") return part;
  const { input, metadata, time } = state;
  return { ...part, state: { status: "running", input, metadata, time: { start: time.start } } };
}

/**
 * Leaves out of a history what would get in the way of events that happened before it was read and are told after it: a
 * status that has changed, the answer to a call that is told to fail first, and the end of a request whose answer is told.
 */
export function withoutTold(history: readonly AgentEvent[], later: readonly AgentEvent[]): AgentEvent[] {
  const retried = retriedMessages(history, later);
  const statuses = later.flatMap(({ type, properties }) => (type === "session.status" ? properties : []));
  const answered = answeredRequests(later);
  return history.filter(({ type, properties }) => {
    if (type === "session.status") {
      const { type: status } = properties.status;
      const told = statuses.filter(({ sessionID }) => sessionID === properties.sessionID);
      // One that is idle in the end is so for good unless it is told to have gone on.
      return status === "busy" || !told.some((other) => status === "retry" || other.status.type !== "idle");
    }
    if (type === "request.closed") return !answered.has(properties.requestID);
    if (type === "message.part.updated") return !retried.has(properties.part.messageID);
    if (type !== "message.updated" || !retried.has(properties.info.id)) return true;
    return properties.info.role === "user" || properties.info.time.completed === undefined;
  });
}

/** The requests to a person that the events tell the answers to. */
export function answeredRequests(events: readonly AgentEvent[]): ReadonlySet<string> {
  const answers = new Set(["permission.replied", "question.replied", "question.rejected"]);
  return new Set(
    events.flatMap(({ type, properties }) =>
      answers.has(type) && "requestID" in properties ? properties.requestID : [],
    ),
  );
}

/** The messages that OpenCode was at work on when it told of a retry. */
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
